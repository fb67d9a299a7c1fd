# Reads "go test -v" and prints what "go test" would: a line per package, and what failed
# packages said. Fails when a test was skipped: a check that doesn't run is no check.
# Only -v tells of skipped tests. A package's output is in one piece, closed by its line;
# what the compiler says goes to standard error and past this.

/^(ok  |FAIL|\?   )\t/ {
	if ($1 == "FAIL")
		printf "%s", output
	print
	fflush()
	output = ""
	next
}

/--- SKIP: / { skipped = skipped $0 "\n" }

# Tests that passed and the progress of those that didn't are of no use to a reader.
/^ *--- PASS: / || /^=== (RUN|PAUSE|CONT|NAME) / || /^PASS$/ { next }

{ output = output $0 "\n" }

END {
	printf "%s", output # what go said after the last package, or instead of any
	if (skipped != "") {
		printf "tests were skipped, which counts as failed:\n%s", skipped
		exit 1
	}
}
