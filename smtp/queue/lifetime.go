package queue

// Lifetime is for how long delivery of a message is tried, while it is not held.
const Lifetime = lifetime
