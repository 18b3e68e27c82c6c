#!/bin/sh
# Makes configure and Makefile.in from configure.ac and Makefile.am.
set -e
cd "$(dirname "$0")"
for tool in autoreconf automake; do
	if ! command -v "$tool" >/dev/null 2>&1; then
		echo "autogen.sh: $tool is missing: apt-get install autoconf automake" >&2
		exit 1
	fi
done
exec autoreconf --force --install --warnings=all,no-portability
