package directory

import (
	"slices"
	"strings"
)

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

// CheckSender gives the form in which an entry of a list is kept, or ErrAddress.
func CheckSender(list List, sender string) (string, error) { return senderEntry(list, sender) }

// CheckCapability gives the form in which a hidden capability is kept, or ErrCapability.
func CheckCapability(name string) (string, error) {
	if name = strings.ToUpper(name); !validCapability(name) {
		return "", problem(ErrCapability, "%s is no capability that can be hidden", quoted(name))
	}
	return name, nil
}

// CheckVacation gives the form in which an automatic reply is kept. ErrVacation, ErrAddress.
func CheckVacation(v Vacation) (Vacation, error) {
	v.Addresses = slices.Clone(v.Addresses)
	err := v.check()
	return v, err
}

// CheckMember gives an address that mail may be led to, here or elsewhere, in the form that is compared, and in the one in
// which it is kept if it is elsewhere: what its local part means is that server's matter (RFC 5321 section 2.4). ErrAddress.
func CheckMember(given string) (compared, elsewhere string, err error) {
	a, err := parseAddress(given)
	if err != nil {
		return "", "", addressProblem(given)
	}
	return a.String(), given[:strings.LastIndexByte(given, '@')+1] + a.domain, nil
}
