package main

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/actions"
	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing/artifact"
)

// What the jobs of one workflow on GitHub tell each other: the matrix job its
// shards by the row of the matrix, and all jobs the last one by the context
// "needs". The plan and the results themselves travel as artifacts.

// The keys of a row beside those of every matrix. Job outputs come from the
// job itself, artifacts from whoever uploaded one of that name: the digests
// tell the right ones.
const (
	planKey   = "plan"    // the digest of the plan
	binaryKey = "wcshard" // the SHA-256 of the program that made it, in hex
)

// noTestsMark says of a matrix without rows that it is wcshard's: another job's
// empty matrix says nothing of the tests.
const noTestsMark = "no tests"

// emptyMatrix is the matrix of a suite without tests.
const emptyMatrix = `{"include":[],"wcshard":"` + noTestsMark + `"}`

// rowKeys are the further keys of each row for GitHub Actions.
func (o *matrixOptions) rowKeys(plan *shard.Plan) []shard.Key {
	if o.output != "github" {
		return nil
	}
	return []shard.Key{{Name: planKey, Value: plan.Digest}, {Name: binaryKey, Value: o.self}}
}

// ownDigest is the SHA-256 of this program. It is taken before any test's code
// runs.
func ownDigest() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	file, err := os.Open(self)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// outputs appends the outputs of the matrix job to $GITHUB_OUTPUT.
func (o *matrixOptions) outputs(sys *system, matrix string, rows int, digest string) error {
	if o.output != "github" {
		return nil
	}
	if err := actions.CheckEnv(matrix); err != nil {
		return &failure{status: exitData, err: fmt.Errorf("writing the matrix of %s: %w", count(rows, "row"), err),
			hint: "pass shorter labels (--runner, --memory-runner), fewer --shards or a smaller --max-memory-jobs"}
	}
	file, err := os.OpenFile(sys.getenv("GITHUB_OUTPUT"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return advise(fmt.Errorf("opening $GITHUB_OUTPUT: %w", err), "GITHUB_OUTPUT names the file that GitHub Actions gives to a step; leave out --output elsewhere")
	}
	atOnce := rows
	if o.maxParallel > 0 {
		atOnce = min(rows, o.maxParallel)
	}
	return errors.Join(actions.WriteOutputs(file,
		actions.Output{Name: "matrix", Value: matrix},
		actions.Output{Name: "count", Value: strconv.Itoa(rows)},
		actions.Output{Name: "plan-digest", Value: digest},
		actions.Output{Name: "max-parallel", Value: strconv.Itoa(max(1, atOnce))},
	), file.Close())
}

// row is one row of the matrix, as a job of it sees itself.
type row struct {
	Name string `json:"name"`
	Plan string `json:"plan"`
}

// readRow reads --row, the JSON of a job's own matrix context.
func readRow(text string) (row, error) {
	const hint = "it is for a job of wcshard's matrix (strategy: matrix: ${{ fromJSON(needs.matrix.outputs.matrix) }}), where it is ${{ toJSON(matrix) }}"
	var r *row
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return row{}, usagef(hint, "reading --row %s: %w", abridged(text), err)
	}
	if r == nil || r.Name == "" {
		return row{}, usagef(hint, "--row is %s and names no shard", abridged(text))
	}
	return *r, nil
}

func abridged(text string) string { return fmt.Sprintf("%.80q", text) }

// findPlan reads a plan file, or the plan in a folder of artifacts. Where the
// digest of the plan is known, it is that plan or none; where it is not, it is
// the newest attempt's.
func findPlan(sys *system, name, digest string) (*shard.Plan, error) {
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		plan, err := readPlan(sys, name)
		if err == nil && digest != "" && plan.Digest != digest {
			return nil, otherPlan(name, []string{plan.Digest}, digest)
		}
		return plan, err
	}
	files, err := plansIn(name)
	if err != nil {
		return nil, fmt.Errorf("looking for the plan: %w", err)
	}
	if len(files) == 0 {
		return nil, &failure{status: exitNoInput, err: fmt.Errorf("looking for the plan: no %s in %s", defaultPlan, name),
			hint: "did the job that makes the matrix end well, and is its artifact wcshard-plan-N there? If it has expired, run all jobs again"}
	}
	if digest == "" {
		return newestPlan(sys, files)
	}
	var digests []string
	var broken error // which one it was nobody knows
	for _, file := range files {
		plan, err := readPlan(sys, file)
		switch {
		case err != nil:
			if broken == nil {
				broken = err
			}
		case plan.Digest == digest:
			return plan, nil
		default:
			digests = append(digests, plan.Digest)
		}
	}
	if broken != nil {
		return nil, broken
	}
	return nil, otherPlan(name, digests, digest)
}

// newestPlan reads the first of several plan files; another one of the same
// attempt has to be the same plan.
func newestPlan(sys *system, files []string) (*shard.Plan, error) {
	plan, err := readPlan(sys, files[0])
	if err != nil {
		return nil, err
	}
	for _, file := range files[1:] {
		if attemptOf(file) != attemptOf(files[0]) {
			break
		}
		other, err := readPlan(sys, file)
		if err != nil {
			return nil, err
		}
		if other.Digest != plan.Digest {
			return nil, &failure{status: exitData, err: fmt.Errorf("looking for the plan: %s and %s are two plans of one attempt", files[0], file),
				hint: "let one job of a workflow make a matrix"}
		}
	}
	return plan, nil
}

func otherPlan(name string, found []string, want string) error {
	for i := range found {
		found[i] = digest.ReplaceAllString(found[i], "$1…")
	}
	return &failure{status: exitData, err: fmt.Errorf("%s has plan %s, and this run is of plan %s", name, strings.Join(found, " and "), digest.ReplaceAllString(want, "$1…")),
		hint: "another job has uploaded its plan under the same name: let one job of a workflow make a matrix, and run all jobs again"}
}

// plansIn lists the plan files below a folder, the newest attempt's first.
func plansIn(folder string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.TrimSuffix(entry.Name(), ".gz") == defaultPlan {
			files = append(files, path)
		}
		return err
	})
	slices.SortStableFunc(files, func(a, b string) int { return attemptOf(b) - attemptOf(a) })
	return files, err
}

// attemptOf is the attempt that the artifact of a downloaded file names; 0 for
// none.
func attemptOf(file string) int {
	name, _ := artifact.ParseName(filepath.Base(filepath.Dir(file)))
	return name.Attempt
}

// needs is the context of that name: how the jobs ended that a job waited for,
// and what they put out.
type needs map[string]struct {
	Result  string            `json:"result"`
	Outputs map[string]string `json:"outputs"`
}

func readNeeds(text string) (needs, error) {
	const hint = "give the job needs: [matrix, pytest], and this step needs: ${{ toJSON(needs) }}"
	var n needs
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return nil, usagef(hint, "reading --needs %s: %w", abridged(text), err)
	}
	if len(n) == 0 {
		return nil, usagef(hint, "--needs is %s and names no job", abridged(text))
	}
	return n, nil
}

// bad lists the jobs that did not succeed, with how they ended. Jobs that were
// skipped because there is nothing to run are none of them.
func (n needs) bad(empty bool) []string {
	var all []string
	for name, job := range n {
		if job.Result != "success" && !(empty && job.Result == "skipped") {
			all = append(all, fmt.Sprintf("job %s: %s", name, job.Result))
		}
	}
	slices.Sort(all)
	return all
}

// plan returns the digest of the plan that a job put out, "" where none did,
// and whether wcshard put out a matrix without rows instead. Other jobs may put
// out matrices of their own.
func (n needs) plan() (digest string, empty bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(n)) {
		for _, value := range n[name].Outputs {
			var matrix struct {
				Include []row  `json:"include"`
				Wcshard string `json:"wcshard"`
			}
			if json.Unmarshal([]byte(value), &matrix) != nil {
				continue
			}
			empty = empty || matrix.Wcshard == noTestsMark
			for _, r := range matrix.Include {
				switch {
				case r.Plan == "" || r.Plan == digest:
				case digest == "":
					digest = r.Plan
				default:
					return "", false, &failure{status: exitData, err: errors.New("reading --needs: its jobs put out the matrices of two plans"),
						hint: "let one job of a workflow make a matrix, and put the other one into a workflow of its own"}
				}
			}
		}
	}
	return digest, empty && digest == "", nil
}

// noMatrix is what to do where no job has put out a matrix.
func (n needs) noMatrix() string {
	succeeded, skipped, failed := false, false, ""
	for _, name := range slices.Sorted(maps.Keys(n)) {
		switch result := n[name].Result; result {
		case "success":
			succeeded = true
		case "skipped":
			skipped = true
		default:
			failed = cmp.Or(failed, fmt.Sprintf("look at the log of the job %s: %s", name, result))
		}
	}
	if skipped && failed != "" { // for want of a job that it needs, and not of a matrix
		return failed
	}
	if succeeded {
		return "the job that makes the matrix needs outputs: matrix: ${{ steps.wcshard.outputs.matrix }}; GitHub also drops an output that contains the value of a secret, which may be as short as a word"
	}
	return "look at the log of the job that makes the matrix: nothing ran"
}

// pytestArgs are pytest's arguments from one string and those after "--".
func pytestArgs(text string, rest []string) ([]string, error) {
	words, err := pytest.SplitWords(text)
	if err != nil {
		return nil, usagef("quote it as in a shell: --pytest-args 'tests -m \"not slow\"'", "reading --pytest-args %s: %w", abridged(text), err)
	}
	return append(words, rest...), nil
}

// fence keeps what is printed to a stream from being taken for commands by
// GitHub's runner: tests and their names can print "::set-output". wcshard
// annotates failures itself. The function that it returns opens the fence again.
func (sys *system) fence(w io.Writer) (open func()) {
	if sys.getenv("GITHUB_ACTIONS") != "true" {
		return func() {}
	}
	token := rand.Text()
	fmt.Fprintf(w, "::stop-commands::%s\n", token)
	return func() { fmt.Fprintf(w, "\n::%s::\n", token) }
}
