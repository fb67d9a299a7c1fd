package main

// setting is one flag and its environment variable. It belongs to its table's goroutine.
type setting struct {
	name    string
	group   string
	env     string // empty: the environment has no say
	unit    string // what stands for the value in the help; empty for a switch
	initial string // the default as help shows it; empty for none
	meaning string
	accepts string // ends the sentence `"x" isn't …`
	store   func(text string) bool
	shown   func(text string) string // how an error shows a value; nil: as it is

	// given is how the value came in: "-loops", "BUSBAR_LOOPS", or empty for the default.
	given string
	table *flagTable
}

// take stores text, which came from the flag or variable named by source.
func (s *setting) take(text, source string) error {
	if !s.store(text) {
		if s.shown != nil {
			text = s.shown(text)
		}
		return usagef("%s: %q isn't %s", source, text, s.accepts)
	}
	s.given = source
	return nil
}

// Set is the flag package's way in. That package keeps an error's text only, so
// the table remembers the error itself.
func (s *setting) Set(text string) error {
	s.table.rejected = s.take(text, "-"+s.name)
	return s.table.rejected
}

// String is for the flag package, which asks for it before anything is set.
func (s *setting) String() string { return s.initial }

// IsBoolFlag lets a switch stand without a value.
func (s *setting) IsBoolFlag() bool { return s.unit == "" }
