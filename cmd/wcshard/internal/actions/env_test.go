package actions

import (
	"strings"
	"testing"
)

// TestCheckEnv fills a variable to the last byte, and one byte over.
func TestCheckEnv(t *testing.T) {
	fits := strings.Repeat("x", MaxEnv-aroundEnv-len(`""`))
	if err := CheckEnv(fits); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if err := CheckEnv(fits + "x"); err == nil {
		t.Error("one byte over the limit: no error")
	}
	if err := CheckEnv(strings.Repeat(`"`, len(fits)/2+1)); err == nil {
		t.Error("quotes take two bytes each, and were counted as one")
	}
}
