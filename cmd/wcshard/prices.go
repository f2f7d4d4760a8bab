package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/wcshard/wcshard/timing"
)

//go:embed prices.json
var knownPrices []byte

// prices are what a minute on a runner costs, by the runner's label.
type prices struct {
	Source    string             `json:"source"`
	Date      string             `json:"date"`
	Currency  string             `json:"currency"`
	Free      string             `json:"free"`
	PerMinute map[string]float64 `json:"per_minute"`
}

// readPrices reads a file like prices.json, and lays it over the one that is built
// in, where that has the same currency.
func readPrices(sys *system, name string) (prices, error) {
	known, err := parsePrices("", knownPrices)
	if name == "" || err != nil {
		return known, err
	}
	file, err := sys.open(name)
	if err != nil {
		return prices{}, advise(fmt.Errorf("reading the prices: %w", err), hintPrices)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return prices{}, fmt.Errorf("reading the prices: %w", err)
	}
	given, err := parsePrices(name, text)
	if err != nil || given.Currency != known.Currency {
		return given, err
	}
	maps.Copy(known.PerMinute, given.PerMinute)
	given.PerMinute, given.Source = known.PerMinute, given.Source+", and for other runners of "+known.Source
	return given, nil
}

// standard reports whether GitHub has a runner of this label.
func standard(label string) bool {
	known, err := parsePrices("", knownPrices)
	return err == nil && known.PerMinute[label] > 0
}

func parsePrices(name string, text []byte) (prices, error) {
	var p prices
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&p)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = errors.New("there is more than one JSON value")
		}
	}
	for _, label := range slices.Sorted(maps.Keys(p.PerMinute)) {
		if price := p.PerMinute[label]; err == nil && (price < 0 || price > 1000) {
			err = fmt.Errorf("a minute on %s costs %v, want 0 to 1000", label, price)
		}
	}
	if err == nil && len(p.PerMinute) == 0 {
		err = fmt.Errorf("it has no per_minute")
	}
	if err != nil {
		line := 1 + bytes.Count(text[:min(int64(len(text)), decoder.InputOffset())], []byte("\n"))
		return prices{}, &failure{status: exitData, err: fmt.Errorf("reading the prices: %w", &timing.SyntaxError{File: name, Line: line, Msg: jsonMessage(err)}),
			hint: hintPrices}
	}
	source := p.Source
	if p.Date != "" {
		source = p.Date
		if p.Source != "" {
			source += " (" + p.Source + ")"
		}
	}
	if name != "" {
		if source != "" {
			name += ": " + source
		}
		source = name
	}
	p.Source = source
	return p, nil
}

const hintPrices = `such a file looks like this: {"currency":"USD","per_minute":{"ubuntu-latest":0.006}}`

// jsonMessage says what is wrong with a file of JSON in words of JSON, not of Go.
func jsonMessage(err error) string {
	var kind *json.UnmarshalTypeError
	if !errors.As(err, &kind) {
		return strings.TrimPrefix(err.Error(), "json: ")
	}
	want := "an object"
	switch kind.Type.Kind() {
	case reflect.Float64:
		want = "a number"
	case reflect.String:
		want = "a string"
	}
	return fmt.Sprintf("%s is of type %s, want %s", cmp.Or(kind.Field, "the file"), kind.Value, want)
}

// minutes is how many minutes of a job are billed: each job is rounded up to
// whole ones (GitHub, "Billing for GitHub Actions").
func minutes(job time.Duration) int {
	return max(1, int(math.Ceil(job.Minutes())))
}
