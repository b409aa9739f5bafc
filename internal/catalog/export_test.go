package catalog

import "time"

// NewDraft gives tests a draft of a document that no store holds.
func NewDraft(doc Document, actor string, now time.Time) *Draft {
	return newDraft(Revision{Document: doc}, Editor{Actor: actor}, now)
}

// Check does what an edit does before it saves.
func (d *Draft) Check() error {
	d.tidy()
	if problems := check(d.Document); len(problems) > 0 {
		return d.locate(problems)
	}
	return nil
}
