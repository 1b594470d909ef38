# Waits of a shell and of the commands it starts: makes each for as many milliseconds as the
# argument says, below a second, and prints a line for each: its name, its exit status, and how many
# milliseconds it took. Writes into the working directory.
seconds=$(printf '0.%03d' "$1")

measure() {
    local name=$1 start=${EPOCHREALTIME/[.,]/} status
    shift
    "$@" >/dev/null 2>&1
    status=$?
    echo "$name $status $(((${EPOCHREALTIME/[.,]/} - start) / 1000))"
}

read_what_comes() {
    (sleep "$seconds" && echo >pipe) &
    read -r -t 60 -u 3
}

mkfifo pipe
exec 3<>pipe 4>lock
flock 4

measure sleep sleep "$seconds"
measure timeout timeout "$seconds" sleep 60
measure timeout_kill timeout --signal=KILL "$seconds" sleep 60
measure timeout_in_foreground timeout --foreground "$seconds" sleep 60
measure timeout_too_late timeout 60 sleep "$seconds"
measure read read -r -t "$seconds" -u 3
measure read_what_comes read_what_comes
measure flock flock --wait "$seconds" lock true
