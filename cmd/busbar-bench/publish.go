package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/busbar-ws/busbar/bench"
)

// result is what every scenario gives.
type result interface{ WriteTable(w io.Writer) error }

// publish prints a result and writes it to the file of -json, with the machine that it is
// of. failed, when it isn't empty, is the error that the command ends with.
func (f *shared) publish(s streams, r result, failed string) error {
	if err := r.WriteTable(s.out); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	if f.json != "" {
		if err := save(f.json, r); err != nil {
			return err
		}
	}
	if failed != "" {
		return errors.New(failed)
	}
	return nil
}

func save(path string, r result) error {
	document := any(r)
	if _, ok := r.(*bench.Comparison); !ok { // which names the machine itself
		document = struct {
			Machine bench.Machine `json:"machine"`
			Result  result        `json:"result"`
		}{bench.ThisMachine(), r}
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("-json: %w", err)
	}
	return nil
}
