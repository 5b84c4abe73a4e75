package remote

import "mailstead/smtp/queue"

// mailWishes are the parameters of MAIL by which a server that knows the DSN extension takes over what the
// sender wants to hear; what was not said is not made up (RFC 3461 section 5.2.1).
func (e extensions) mailWishes(m queue.Message) (params string) {
	if !e.dsn {
		return "" // section 5.2.2
	}
	if m.Return != "" {
		params += " RET=" + string(m.Return)
	}
	if m.EnvelopeID != "" {
		params += " ENVID=" + m.EnvelopeID
	}
	return params
}

// rcptWishes are mailWishes for RCPT.
func (e extensions) rcptWishes(w queue.Wish) (params string) {
	if !e.dsn {
		return ""
	}
	if w.Notify != 0 {
		params += " NOTIFY=" + w.Notify.String()
	}
	if w.Original != "" {
		params += " ORCPT=" + w.OriginalFor(e.utf8)
	}
	return params
}

// told is what the queue may tell the sender of a recipient that a server has taken: nothing where
// that server knows the DSN extension, and tells the rest.
func (t target) told(v verdict) queue.Action {
	if v.status != queue.Delivered || t.dsn {
		return ""
	}
	return queue.ActionRelayed
}
