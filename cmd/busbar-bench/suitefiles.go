package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/report"
)

// finish prints and writes everything. What others read is changed by a complete suite
// alone.
func (f *suiteFlags) finish(s streams, r *bench.Suite) error {
	failed := ""
	if err := r.Complete(); err != nil {
		failed = err.Error()
	}
	if err := f.publish(s, r, ""); err != nil {
		return err
	}
	if err := f.writeOut(r); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	fmt.Fprintf(s.out, "\n%s has the report, the JSON and the charts.\n", f.out)
	if failed != "" {
		return fmt.Errorf("%s; -docs and -readme are left as they were", failed)
	}
	if f.docs != "" {
		if err := writeDocs(f.docs, r); err != nil {
			return fmt.Errorf("-docs: %w", err)
		}
	}
	if f.readme == "" {
		return nil
	}
	folder, err := filepath.Rel(filepath.Dir(f.readme), f.docs)
	if err == nil {
		err = report.UpdateFile(f.readme, r.Markdown(filepath.ToSlash(folder)))
	}
	if err != nil {
		return fmt.Errorf("-readme: %w", err)
	}
	return nil
}

func (f *suiteFlags) writeOut(r *bench.Suite) error {
	if err := writeDocs(f.out, r); err != nil {
		return err
	}
	if err := f.page(r).WriteHTML(filepath.Join(f.out, "report.html")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.out, "summary.md"), []byte(r.Markdown(".")), 0o644)
}

// writeDocs writes the JSON and the charts.
func writeDocs(folder string, r *bench.Suite) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, p := range r.Pictures() {
		if err := report.WriteSVG(filepath.Join(folder, p.File), p.Chart); err != nil {
			return err
		}
	}
	return save(filepath.Join(folder, "suite.json"), r)
}
