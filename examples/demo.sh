#!/bin/sh
# The main job on real documents: index a folder, ask three questions, see where the answers stand.
# `make demo` runs it with some of the project's own documents; give other files and folders as arguments. The small
# model loses its way among many pages about many things, so the default is a handful.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- CONTRIBUTING.md SECURITY.md docs/architecture.md docs/cli.md docs/configuration.md docs/parts.md docs/where.md
index=.demo/index

say() { printf '\n\033[1m$ %s\033[0m\n' "$1"; }
ask() {
    say "ragkit ask \"$1\" --index $index"
    ragkit ask "$1" --index "$index"
}

say "ragkit index $* --index $index"
ragkit index "$@" --index "$index" || [ $? -eq 3 ] # 3: some inputs could not be read, the rest is there
ask "What does a kill at any moment leave?"
ask "What is a snapshot?"
ask "How many parameters does the default language model have?"

cat <<END

How to go on, after: . .venv/bin/activate
  ragkit index YOUR_FOLDER --index my-index        index your own documents
  ragkit ask "..." --index my-index                the small local model answers
  ragkit ask "..." --index my-index --llm http://localhost:8000/v1
                                                   a better model answers, any OpenAI-compatible server
  ragkit query "..." --index my-index --json       only the sources, for programs (docs/json.md)
  ragkit chunk FILE --chunk-size 128               see how a file is cut
END
