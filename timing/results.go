package timing

import "time"

// ResultsVersion is the version of the results format that this package
// writes and reads.
const ResultsVersion = 1

// ResultsHeader is the first line of a results file, written by wcshard before
// pytest starts:
//
//	{"wcshard":"results","version":1,"plan":"sha256:…","run":"…","shards":["pool-1"],"attempt":1,"runner":"local","workers":2,"started":"2026-11-23T11:00:00.000Z","cpus":4,"tests":120,"predicted_us":61000000,"setup_us":9000000}
type ResultsHeader struct {
	Plan    string    // digest of the plan that was run
	Run     string    // names the run: every shard of one CI run has the same
	Shards  []string  // the shards whose tests this session ran: one, or several under run --all
	Attempt int       // counts from 1; the newest attempt of a shard counts
	Runner  string    // runner class, such as "ubuntu-latest"; "local" on a developer's machine
	Workers int       // planned workers; 0 where the run's own arguments said how many
	Started time.Time // to the millisecond, UTC

	CPUs      int           // cores that pytest may run on; 0 where unknown
	Tests     int           // planned; 0 where nothing was predicted
	Predicted time.Duration // wall time that the plan predicts from measurements; 0 where it guesses
	SetUp     time.Duration // from the start of the CI's job to Started: checkout, installation; 0 where unknown
}

// Results is one results file: what one pytest session did.
type Results struct {
	Name    string // the file's name, for messages
	Header  ResultsHeader
	Tests   []TestResult   // finished tests, in the order they ended
	Running []TestStart    // tests that started and never finished
	Workers []WorkerResult // one for each process that collected: one that ran killed tests again may have the name of one that died
	Missing []NodeID       // planned tests that the session could not find
	Extra   []NodeID       // tests in the shard's files that no shard of the plan has
	Broken  []NodeID       // files, and folders by their conftest.py, that could not be imported
	Deaths  []Death        // workers that died while pytest lived, as it saw them
	Killed  []KilledTest   // tries that were killed for lack of memory; what came of them then is in Tests
	Notes   []string       // what the plugin wants said, such as an option it switched off
	Memory  []WorkerMemory // the last sample of each process, of those that died, too; none where nothing was sampled

	Ended   bool          // the closing line is there
	Exit    int           // pytest's exit status, when Ended
	Elapsed time.Duration // wall time of the pytest process, when Ended

	Warnings []error // doubts that did not stop the reading, such as a torn last line
}

// TestResult is one finished test.
type TestResult struct {
	ID       NodeID
	Worker   string        // "main", or xdist's gw0, gw1, …
	PID      int           // of that worker; 0 where unknown
	Start    time.Duration // since the worker process started
	Outcome  Outcome
	Setup    time.Duration // own, without the shared fixtures set up during it
	Call     time.Duration
	Teardown time.Duration // own, without the shared fixtures torn down during it
	Wall     time.Duration // from the start of pytest's protocol for the test to its end, shared fixtures included
	Fixtures []FixtureResult
	Before   int64 // resident memory of the worker before the test, bytes; 0 where unknown
	Peak     int64 // its peak during the test; of a crashed test the highest sample, a lower bound
	After    int64
	Children int64  // peak of its child processes above those that it found, bytes; 0 where none was seen
	Sampled  bool   // memory was looked at now and then, and Peak may have been higher in between
	Garbage  int    // full collections of garbage while it ran
	Reruns   int    // earlier tries by a rerun plugin; the last try counts
	Message  string // first line of the failure, or the reason of a skip
	Path     string // where it failed, as pytest shows it; "" where unknown
	Line     int
	Marked   bool // it was skipped for its skip marker, which its collection knows of
}

// Whole reports whether the session went all the way: pytest ended it with 0, or with 1
// where tests failed.
func (r *Results) Whole() bool { return r.Ended && (r.Exit == 0 || r.Exit == 1) }

// TestStart is a test that started.
type TestStart struct {
	ID       NodeID
	Worker   string
	PID      int   // of the worker; 0 where unknown
	Before   int64 // what the worker held after its last test, or its imports, bytes; 0 where unknown
	Peak     int64 // highest sample of the worker's resident memory since, bytes; 0 where there was none
	Children int64 // as in TestResult
}

// workerProcess is one of those that had a worker's name.
type workerProcess struct {
	worker string
	pid    int
}

// WorkerMemory is one sample of a process of the session.
type WorkerMemory struct {
	Worker   string        // "main" is pytest's own process: under xdist the controller
	At       time.Duration // since the session started
	Resident int64         // bytes
	Children int64         // of all its descendants, without what they share with it
}

// FixtureResult is one instance of a fixture of a scope above function, set up
// or torn down during a test, a library that was imported then, or a pool of processes
// that was started. The times are self times: what other fixtures and libraries took
// inside it is theirs. Both are 0 where the test asked for a fixture of a package or the
// session while it ran, which collection does not tell, or has used a pool.
type FixtureResult struct {
	ID       SetupID
	Setup    time.Duration
	Teardown time.Duration
}

// WorkerResult is what one worker process paid before its first test.
type WorkerResult struct {
	Worker  string
	Startup time.Duration // from process start to the start of collection: interpreter, pytest, plugins, conftest
	Collect time.Duration // whole collection, imports included
	// Imports is by file, by folder with a slash at the end (its conftest.py), and by
	// library after libraryPrefix: of each without the libraries inside.
	Imports map[string]time.Duration
	PID     int           // 0 where unknown
	Floor   int64         // resident memory after collection, bytes
	Tail    time.Duration // mean time a test's protocol goes on after its teardown report; 0 until the worker ended
}
