# Containers of an ordinary user's Podman, each of which prints the time: rootless.sh DIRECTORY SHIFT.
# DIRECTORY has the root's archive, and elsewhen by its own name and by that of the runtime, which Podman
# knows to do without control groups.
set -eu
cd "$1"
export HOME=$1 XDG_RUNTIME_DIR=$1/run
mkdir -m 700 -p "$XDG_RUNTIME_DIR"
engine() {
    podman --cgroup-manager=cgroupfs --storage-driver=vfs --events-backend=none \
        --runtime "$1/bin/crun" --runtime-flag "elsewhen-socket=$1/agent.sock" "${@:2}"
}
at=$1 shift=$2
create=(--network=none --cgroups=disabled --annotation "org.elsewhen.realtime=+$shift")

# In Podman's user namespace, where it reaches the processes of all of a container's users.
podman --storage-driver=vfs unshare sh -c 'echo $$ >agent.pid; exec bin/elsewhen agent --socket "$PWD/agent.sock"' &
agent=$!
for _ in $(seq 600); do
    test ! -S agent.sock || break
    sleep 0.1
done
engine "$at" import -q root.tar elsewhen-test >/dev/null

engine "$at" run --rm "${create[@]}" elsewhen-test date +%s
engine "$at" run --rm --user 1000 "${create[@]}" elsewhen-test date +%s
engine "$at" run --rm --userns=keep-id "${create[@]}" elsewhen-test date +%s
engine "$at" run --detach --name lasting "${create[@]}" elsewhen-test sleep 1000 >/dev/null
engine "$at" exec lasting date +%s
engine "$at" rm -f -t 0 lasting >/dev/null

kill "$(cat agent.pid)"
wait "$agent" || true
# What holds Podman's user namespace.
kill "$(cat "$XDG_RUNTIME_DIR/libpod/tmp/pause.pid")"
