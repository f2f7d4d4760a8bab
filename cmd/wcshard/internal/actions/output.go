// Package actions holds all that wcshard knows of GitHub Actions' file formats.
package actions

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// MaxOutput is how much the outputs of one job may take, in UTF-16 bytes
// (docs.github.com, "Outputs are Unicode strings, and can be a maximum of 1
// MB").
const MaxOutput = 1 << 20

// Output is one output of a step.
type Output struct {
	Name, Value string
}

// WriteOutputs appends outputs to $GITHUB_OUTPUT's format, each as
// NAME<<DELIMITER, the value, DELIMITER, with line feeds only. The delimiter is
// random, so that a value made by somebody else cannot end itself and start
// another output (CVE-2022-35954); a collision is refused all the same.
func WriteOutputs(w io.Writer, outputs ...Output) error {
	return writeOutputs(w, rand.Reader, outputs...)
}

func writeOutputs(w io.Writer, random io.Reader, outputs ...Output) error {
	var text strings.Builder
	size := 0
	for _, o := range outputs {
		var key [16]byte
		if _, err := io.ReadFull(random, key[:]); err != nil {
			return fmt.Errorf("making a delimiter: %w", err)
		}
		delimiter := "wcshard_" + hex.EncodeToString(key[:])
		if strings.Contains(o.Name, delimiter) || strings.Contains(o.Value, delimiter) {
			return fmt.Errorf("writing output %q: it contains the delimiter %s", o.Name, delimiter)
		}
		if o.Name == "" || strings.ContainsAny(o.Name, "\r\n=<") {
			return fmt.Errorf("writing output %q: not a name for an output", o.Name)
		}
		if strings.Contains(o.Value, "\r") {
			return fmt.Errorf("writing output %q: the value holds a carriage return", o.Name)
		}
		size += 2 * len(utf16.Encode([]rune(o.Name+o.Value)))
		fmt.Fprintf(&text, "%s<<%s\n%s\n%s\n", o.Name, delimiter, o.Value, delimiter)
	}
	if size > MaxOutput {
		return fmt.Errorf("writing outputs: they take %d bytes as UTF-16, a job may have %d", size, MaxOutput)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
