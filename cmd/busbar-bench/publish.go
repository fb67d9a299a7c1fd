package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/report"
)

// result is what every scenario gives. Package report says what it may have beyond tables.
type result = report.Result

// located is a result that names its machine in its own JSON.
type located interface {
	result
	Where() bench.Machine
}

// publish prints a result and writes it to the files of -json and -html, with the machine
// that it is of. failed, when it isn't empty, is the error that the command ends with.
func (f *shared) publish(s streams, r result, failed string) error {
	if err := r.WriteTable(s.out); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	if f.json != "" {
		if err := save(f.json, r); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	if f.html != "" {
		if err := f.page(r).WriteHTML(f.html); err != nil {
			return fmt.Errorf("-html: %w", err)
		}
	}
	if failed != "" {
		return errors.New(failed)
	}
	return nil
}

// page is the report of a result.
func (f *shared) page(r result) report.Page {
	machine := bench.ThisMachine()
	if l, ok := r.(located); ok {
		machine = l.Where()
	}
	return report.Page{
		Title: f.set.Name(), Result: r,
		Facts: append(machine.Facts(), report.Fact{Name: "Command", Value: f.line}),
	}
}

func save(path string, r result) error {
	document := any(r)
	if _, ok := r.(located); !ok {
		document = struct {
			Machine bench.Machine `json:"machine"`
			Result  result        `json:"result"`
		}{bench.ThisMachine(), r}
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
