package check

// hostChecks are the checks of the host and its machine, in the order in which they are read.
var hostChecks = []kind{
	{"host.resolver", "without names no mail leaves, and what comes cannot be verified", false, resolvers},
	{"host.address", "other servers find this one by its name", true, addresses},
	{"host.ptr", "large receivers refuse mail from addresses without a name of their own", true, reverse},
	{"host.helo-spf", "notices about mail that was not delivered have no other proof", true, greetingSender},
	{"host.tlsa", "servers that hold to DANE deliver only if it is right", true, proofOfKey},
	{"host.caa", "the certificate cannot be renewed", true, hostAuthority},
	{"host.blocklist", "receivers refuse mail from addresses that are listed", true, listedAddresses},
	{"host.port25", "mail to other domains cannot leave", true, outward},
	{"server.listener", "mail programs and other servers connect there", false, listeners},
	{"server.certificate", "mail programs refuse to connect, and servers that hold to a policy do not deliver", false, certificates},
	{"server.queue", "mail that does not leave comes back to its writers after five days", false, outgoing},
	{"server.backup", "a disk that breaks takes all mail along", false, backups},
	{"server.version", "", false, version},
	{"machine.clock", "certificates, signatures and passwords of the day count by the time", false, clock},
	{"machine.disk", "a full disk takes no mail", false, disk},
	{"machine.memory", "a process that finds no memory is ended by the system", false, memory},
	{"machine.files", "each connection takes one; without, the next is turned away", false, files},
}

// domainChecks are those of each domain.
var domainChecks = []kind{
	{"domain.mx", "by it other servers know where the domain's mail goes", true, exchangers},
	{"domain.spf", "by it receivers know who may send for the domain; without, mail goes to their junk", true, senders},
	{"domain.dkim", "by it receivers verify signatures; mail that is not proven goes to their junk", true, keys},
	{"domain.dmarc", "large receivers want it of everybody who sends to them", true, policyOfMail},
	{"domain.mta-sts", "by it other servers know that they must encrypt, and to whom", true, policyRecord},
	{"domain.policy", "servers that hold to a policy that is wrong do not deliver", true, policyServed},
	{"domain.tlsrpt", "by it others tell when their connections fail", true, reportsOfTLS},
	{"domain.names", "by them mail programs find their settings, and other servers the policy", true, leads},
	{"domain.voucher", "", true, vouchers},
	{"domain.srv", "by them mail programs find their settings", true, services},
	{"domain.caa", "certificates of the domain's names cannot be renewed", true, domainAuthority},
	{"domain.wildcard", "it is taken for each record of ours that is missing", true, wildcard},
	{"domain.blocklist", "receivers refuse mail that names a domain which is listed", true, listedDomain},
	{"domain.loop", "mail for the domain does not come in", true, loop},
}
