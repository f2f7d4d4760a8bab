// Package artifact finds and downloads what an earlier run left on GitHub: its
// plan, its results and its history.
//
// Its place in the picture:
//
//	plan, results ──uploaded by the action──▶ [find ──▶ download ──▶ unpack] ──▶ run, merge, matrix
//
// What comes back was written by others, so it is untrusted: sizes are capped,
// paths are checked, and nothing is written to disk. The token goes to the API
// host only, never to the host that an artifact is stored on.
//
// This is the only package that calls the GitHub API.
package artifact
