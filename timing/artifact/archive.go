package artifact

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
)

const (
	hintDamaged = "try again; if it stays so, run the workflow again"
	hintProxy   = "is there a proxy in between that answers for GitHub?"
)

// Archive is a downloaded artifact. Its files are unpacked as they are read.
type Archive struct {
	Artifact Artifact
	Files    []*File // as they stand in the zip file
}

// File is one file of an artifact.
type File struct {
	Name  string // with slashes, without . and ..
	entry *zip.File
	most  int64
}

// Download fetches an artifact and checks its table of contents.
func (c *Client) Download(ctx context.Context, a Artifact) (*Archive, error) {
	body, err := c.fetch(ctx, a)
	if err == nil {
		var files []*File
		if files, err = c.unpack(body); err == nil {
			return &Archive{Artifact: a, Files: files}, nil
		}
	}
	return nil, fmt.Errorf("downloading %s of run %d: %w", a.Name, a.Run, fault(err))
}

// fetch asks the API where the zip file is, and that host for it, without the
// token: it is none of its business, and it refuses requests that carry one.
func (c *Client) fetch(ctx context.Context, a Artifact) ([]byte, error) {
	if a.Expired {
		return nil, faultf(Expired, "run the workflow again: artifacts are kept for as long as the repository's retention says", "the artifact has expired")
	}
	if a.Size > c.options.limits.archive {
		return nil, tooLarge(c.options.limits.archive)
	}
	place, _, err := c.api.Actions.DownloadArtifact(ctx, c.owner, c.name, a.ID, 3)
	if err != nil {
		return nil, fault(err)
	}
	if err := safeScheme(place, c.api.BaseURL); err != nil {
		return nil, &Error{Fault: Unreachable, Hint: hintProxy, Err: err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, place.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.blobs.Do(request)
	var failed *url.Error
	if errors.As(err, &failed) {
		// Its address is left out: whoever has it can download the artifact.
		return nil, fmt.Errorf("asking %s, where artifacts are stored: %w", place.Host, failed.Err)
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, faultf(Unreachable, "try again", "%s, where artifacts are stored, answered %d", place.Host, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.options.limits.archive+1))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, faultf(Damaged, "try again", "the connection ended after %d of %d bytes", len(body), resp.ContentLength)
	}
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > c.options.limits.archive {
		return nil, tooLarge(c.options.limits.archive)
	}
	return body, nil
}

func tooLarge(most int64) error {
	return faultf(TooLarge, "this is no artifact that wcshard made", "the artifact is larger than %d bytes", most)
}

// unpack reads the table of contents. Names are refused that would lead out of
// a folder, on Windows too; so are links.
func (c *Client) unpack(body []byte) ([]*File, error) {
	if !bytes.HasPrefix(body, []byte("PK")) {
		return nil, faultf(Damaged, hintProxy, "it is not a zip file: it starts with %.40q", body[:min(40, len(body))])
	}
	reader, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, faultf(Damaged, hintDamaged, "reading the zip file, which is cut off or damaged: %w", err)
	}
	if len(reader.File) > c.options.limits.entries {
		return nil, faultf(TooLarge, "this is no artifact that wcshard made", "the zip file has %d entries, want at most %d", len(reader.File), c.options.limits.entries)
	}
	var files []*File
	seen := map[string]bool{}
	for _, entry := range reader.File {
		name := strings.TrimSuffix(entry.Name, "/")
		switch {
		case !fs.ValidPath(name) || strings.ContainsAny(name, "\\:\x00"):
			return nil, faultf(Unsafe, "this is no artifact that wcshard made", "the zip file has an entry %.100q, which leads out of its folder", entry.Name)
		case seen[name]:
			return nil, faultf(Damaged, "this is no artifact that wcshard made", "the zip file has two entries %.100q", name)
		case entry.Mode().IsDir():
		case !entry.Mode().IsRegular():
			return nil, faultf(Unsafe, "this is no artifact that wcshard made", "the zip file has an entry %.100q that is no plain file", entry.Name)
		default:
			files = append(files, &File{Name: name, entry: entry, most: c.options.limits.file})
		}
		seen[name] = true
	}
	return files, nil
}

// Find returns the one file whose base name is one of those given.
func (a *Archive) Find(names ...string) (*File, error) {
	var found []*File
	for _, file := range a.Files {
		base := file.Name[strings.LastIndexByte(file.Name, '/')+1:]
		for _, name := range names {
			if base == name {
				found = append(found, file)
			}
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	return nil, faultf(Damaged, "this is no artifact that wcshard made", "%s of run %d has %d files %s, want one",
		a.Artifact.Name, a.Artifact.Run, len(found), strings.Join(names, " or "))
}

// Open unpacks a file; a name ending in .gz is decompressed. Reading more than
// MaxFile bytes of it is an error, whatever sizes the zip file claims.
func (f *File) Open() (io.ReadCloser, error) {
	packed, err := f.entry.Open()
	if err != nil {
		return nil, faultf(Damaged, hintDamaged, "unpacking %s: %w", f.Name, err)
	}
	var plain io.Reader = packed
	if strings.HasSuffix(f.Name, ".gz") {
		if plain, err = gzip.NewReader(packed); err != nil {
			return nil, errors.Join(faultf(Damaged, hintDamaged, "unpacking %s: %w", f.Name, err), packed.Close())
		}
	}
	return &capped{file: f, r: plain, close: packed, left: f.most}, nil
}

type capped struct {
	file  *File
	r     io.Reader
	close io.Closer
	left  int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, faultf(TooLarge, "this is no artifact that wcshard made", "unpacking %s: it is larger than %d bytes", c.file.Name, c.file.most)
	}
	if err != nil && err != io.EOF {
		err = faultf(Damaged, hintDamaged, "unpacking %s: %w", c.file.Name, err)
	}
	return n, err
}

func (c *capped) Close() error { return c.close.Close() }
