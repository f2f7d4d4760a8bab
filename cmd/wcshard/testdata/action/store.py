"""What actions/upload-artifact, download-artifact and cache do, as far as
wcshard's action needs it, against the artifact and cache servers of act.

As on GitHub, an artifact's name can be taken once in a run, and a cache entry
is seen by its own ref and, from the default branch, by all.
"""

import fnmatch
import glob
import hashlib
import io
import json
import os
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile

SERVICE = "twirp/github.actions.results.api.v1.ArtifactService/"
RUN = os.environ["GITHUB_RUN_ID"]
REF = os.environ["GITHUB_REF"]
DEFAULT_REF = "refs/heads/main"
OUTSIDE = "outside-the-workspace"


def http(url, data=None, method=None, headers=None):
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    request.add_header("Authorization", "Bearer " + os.environ["ACTIONS_RUNTIME_TOKEN"])
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read()


def twirp(verb, **fields):
    fields.update(workflow_run_backend_id=RUN, workflow_job_run_backend_id=RUN)
    url = os.environ["ACTIONS_RESULTS_URL"] + SERVICE + verb
    return json.loads(http(url, json.dumps(fields).encode(), "POST", {"Content-Type": "application/json"}))


def artifacts():
    try:
        return [a["name"] for a in twirp("ListArtifacts").get("artifacts", [])]
    except (urllib.error.HTTPError, urllib.error.URLError, ConnectionError):
        return []  # act has no folder for the run yet


def upload(name, path, if_no_files_found, retention_days, include_hidden_files, overwrite):
    several = "*" in path
    files = [f for f in glob.glob(path if several or os.path.isfile(path) else path + "/**", recursive=True) if os.path.isfile(f)]
    if include_hidden_files != "true":
        files = [f for f in files if not os.path.basename(f).startswith(".")]
    if not files:
        print(f"No files were found with the provided path: {path}")
        sys.exit(1 if if_no_files_found == "error" else 0)
    if overwrite == "true" and name in artifacts():
        twirp("DeleteArtifact", name=name)
    if name in artifacts():
        sys.exit("Failed to CreateArtifact: (409) Conflict: an artifact with this name already exists on the workflow run")
    packed = io.BytesIO()
    base = path if os.path.isdir(path) else "." if several else os.path.dirname(path)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, os.path.relpath(file, base))
    made = twirp("CreateArtifact", name=name, version=4)
    url = made.get("signedUploadUrl") or made["signed_upload_url"]
    http(url + "&comp=block", packed.getvalue(), "PUT")
    twirp("FinalizeArtifact", name=name, size=str(len(packed.getvalue())))
    print(f"Artifact {name} has been successfully uploaded, to be kept for {retention_days or 90} days")


def download(pattern, path, merge_multiple):
    found = [name for name in artifacts() if fnmatch.fnmatchcase(name, pattern)]
    for name in found:
        url = twirp("GetSignedArtifactURL", name=name)["signedUrl"]
        with zipfile.ZipFile(io.BytesIO(http(url))) as archive:
            archive.extractall(os.path.join(path, name) if len(found) > 1 and merge_multiple != "true" else path or ".")
    print(f"Total of {len(found)} artifact(s) downloaded")


def cache_url():
    return os.environ["ACTIONS_CACHE_URL"] + "_apis/artifactcache/"


def scoped(ref, key):
    if len(key) > 512 or "," in key:
        sys.exit(f"Key Validation Error: {key}")
    return hashlib.sha256(ref.encode()).hexdigest()[:8] + "-" + key


def lookup(path, ref, keys):
    query = urllib.parse.urlencode({"keys": ",".join(scoped(ref, k) for k in keys), "version": version(path)})
    answer = http(cache_url() + "cache?" + query)
    return json.loads(answer) if answer else None


def version(path):
    return hashlib.sha256(path.encode()).hexdigest()


def restore(path, key, restore_keys):
    for ref in (REF, DEFAULT_REF):
        found = lookup(path, ref, [key, *restore_keys.split()])
        if found:
            with tarfile.open(fileobj=io.BytesIO(http(found["archiveLocation"])), mode="r:gz") as archive:
                for member in archive:
                    outside = member.name.startswith(OUTSIDE)
                    member.name = member.name.removeprefix(OUTSIDE)
                    archive.extract(member, "/" if outside else ".")
            print("Cache restored from key:", found["cacheKey"])
            hit = found["cacheKey"] == scoped(ref, key).lower()
            with open(os.environ["GITHUB_OUTPUT"], "a") as file:
                file.write(f"cache-hit={str(hit).lower()}\n")
            return
    print("Cache not found for input keys:", key, restore_keys)


def save(path, key):
    found = lookup(path, REF, [key])
    if found and found["cacheKey"] == scoped(REF, key).lower():
        print("Unable to reserve cache, another job may be creating this cache.")
        return
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for pattern in path.split():
            for file in glob.glob(os.path.expanduser(pattern)):
                archive.add(file, OUTSIDE + file if os.path.isabs(file) else file)
    body = packed.getvalue()
    headers = {"Content-Type": "application/json"}
    entry = {"key": scoped(REF, key), "version": version(path), "cacheSize": len(body)}
    number = json.loads(http(cache_url() + "caches", json.dumps(entry).encode(), "POST", headers))["cacheId"]
    http(f"{cache_url()}caches/{number}", body, "PATCH", {"Content-Range": f"bytes 0-{len(body) - 1}/*"})
    http(f"{cache_url()}caches/{number}", json.dumps({"size": len(body)}).encode(), "POST", headers)
    print("Cache saved with key:", key)


os.chdir(os.environ["GITHUB_WORKSPACE"])
inputs = {name[3:].lower(): value for name, value in os.environ.items() if name.startswith("IN_")}
{"upload": upload, "download": download, "restore": restore, "save": save}[sys.argv[1]](**inputs)
