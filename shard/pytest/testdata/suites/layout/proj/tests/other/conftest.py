import os

with open(os.environ.get("WCSHARD_TRACE", os.devnull), "a") as file:
    file.write("other conftest\n")
