package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"

	"github.com/busbar-ws/busbar/bench/proof"
	"github.com/busbar-ws/busbar/bench/runner"
)

// proofFlags are what soak and chaos share.
type proofFlags struct {
	set                 *flag.FlagSet
	program, args, json string
}

func newProofFlags(name string, s streams) *proofFlags {
	f := &proofFlags{set: flag.NewFlagSet("busbar-bench "+name, flag.ContinueOnError)}
	f.set.SetOutput(s.out)
	f.set.StringVar(&f.program, "busbar", "bin/busbar", "`program` of the daemon; make build makes bin/busbar")
	f.set.StringVar(&f.args, "args", "", "more `arguments` for the daemon, separated by spaces")
	f.set.StringVar(&f.json, "json", "", "write the result to a `file`")
	return f
}

func (f *proofFlags) parse(args []string) error {
	if len(args) > 0 && (args[0] == "-help" || args[0] == "--help" || args[0] == "-h") {
		f.set.Usage()
		return flag.ErrHelp
	}
	f.set.SetOutput(io.Discard) // mistakes are told in one line
	if err := f.set.Parse(args); err != nil {
		return usagef("%v; %s -help lists the flags", err, f.set.Name())
	}
	if f.set.NArg() > 0 {
		return usagef("%q: unexpected argument", f.set.Arg(0))
	}
	if _, err := exec.LookPath(f.program); err != nil {
		return usagef("-busbar %s: there is no such program; make build makes bin/busbar", f.program)
	}
	return writable("json", f.json)
}

// result is what a proof has found.
type result interface{ WriteTable(w io.Writer) error }

// finish prints and writes what was found. A run that was interrupted has some of it.
func (f *proofFlags) finish(s streams, r result, failed string) error {
	if err := r.WriteTable(s.out); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	if f.json != "" {
		if err := save(f.json, struct {
			Machine runner.Machine `json:"machine"`
			Result  result         `json:"result"`
		}{runner.ThisMachine(), r}); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	if failed != "" {
		return errors.New(failed)
	}
	return nil
}

// proofErr makes mistakes in options mistakes on the command line.
func proofErr(err error) error {
	if errors.Is(err, proof.ErrOptions) {
		return usagef("%v", err)
	}
	return err
}
