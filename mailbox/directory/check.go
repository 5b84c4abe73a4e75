package directory

// CheckDomain gives the form in which a domain is kept, or ErrAddress where none of the name can be added.
func CheckDomain(name string) (string, error) {
	name = foldDomain(name)
	if !validDomain(name) {
		return "", ErrAddress
	}
	return name, nil
}

// CheckAddress gives the form in which an address is kept, or ErrAddress where none of the kind can be added. Its domain
// may be anybody's.
func CheckAddress(address string) (string, error) {
	a, err := newAddress(address)
	if err != nil {
		return "", err
	}
	return a.String(), nil
}

// CheckPassword fails with ErrPassword where an account cannot have that password.
func CheckPassword(password string) error {
	_, err := preparePassword(password)
	return err
}
