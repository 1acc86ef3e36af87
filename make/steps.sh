# Steps of a long run, for .ci/run and `make test-full`, which source this file: each step has its heading and its output,
# and the end is a table of what each took and of what was skipped.
# A part that can't run here prints `SKIPPED name: why`, alone on a line, as pytest does by conftest.py.

[ ! -t 1 ] || export PY_COLORS=1
logs="$(mktemp -d)"
: >"$logs/skipped"
started=$SECONDS
times=() failed=() beside=()

_heading() { printf '\n== %s (%s)\n' "$1" "$(date -u +%H:%M:%S)"; }

# _ended NAME START STATUS LOG
_ended() {
  grep '^SKIPPED ' "$4" >>"$logs/skipped" || true
  times+=("$(printf '%5d s  %s%s' "$((SECONDS - $2))" "$1" "$([ "$3" = 0 ] || echo '  FAILED')")")
  [ "$3" = 0 ] || failed+=("$1")
  return "$3"
}

# step NAME COMMAND...: runs a step; returns what the command returns.
step() {
  local name=$1 start=$SECONDS status=0; shift
  _heading "$name"
  "$@" </dev/null 2>&1 | tee "$logs/step" || status=${PIPESTATUS[0]}
  _ended "$name" "$start" "$status" "$logs/step"
}

# step_beside NAME COMMAND...: starts a step beside those that follow; `steps_beside` waits for it.
step_beside() {
  local name=$1 log="$logs/beside-${#beside[@]}" start=$SECONDS; shift
  _heading "$name starts, beside what follows"
  { "$@" </dev/null >"$log" 2>&1 && echo 0 >"$log.status" || echo $? >"$log.status"; echo "$SECONDS" >"$log.end"; } &
  beside+=("$!:$start:$log:$name")
}

# steps_beside: waits for the steps that were started, and shows what they printed; returns 1 if one of them failed.
steps_beside() {
  local step pid start log name status=0 now
  for step in ${beside[@]+"${beside[@]}"}; do
    IFS=: read -r pid start log name <<<"$step"
    wait "$pid" || true
    _heading "$name, which ran beside"
    cat "$log"
    _ended "$name (beside)" "$((SECONDS - $(cat "$log.end") + start))" "$(cat "$log.status")" "$log" || status=1
  done
  beside=()
  return "$status"
}

# skip NAME WHY: what can't run here.
skip() { echo "SKIPPED $1: $2" | tee -a "$logs/skipped"; }

# summary [PATTERN]: waits for the steps beside, and prints the table. Returns 1 if a step failed, or if something was
# skipped that the PATTERN doesn't match.
summary() {
  local status=0 unexpected
  steps_beside || true
  printf '\n== Times\n'
  printf '%s\n' ${times[@]+"${times[@]}"}
  printf '%5d s  all\n' "$((SECONDS - started))"
  [ ! -s "$logs/skipped" ] || { printf '\n== Skipped\n'; sort -u "$logs/skipped"; }
  [ ${#failed[@]} = 0 ] || { printf '\nFailed: %s\n' "$(IFS=,; echo "${failed[*]}")"; status=1; }
  if unexpected="$(grep -Ev "${1:-.}" "$logs/skipped")"; then
    printf '\nShould not have been skipped:\n%s\n' "$unexpected"
    status=1
  fi
  rm -rf "$logs"
  return "$status"
}
