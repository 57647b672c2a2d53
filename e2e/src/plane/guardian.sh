# sh guardian.sh FOLDER
#
# Waits for the end of its standard input, which comes however its owner ends, then removes all that a plane has on
# this machine: processes, pods, their control groups, devices, addresses, changed settings of the kernel, files; and,
# by the commands in the file `undo`, what it has in a given cluster.
folder=$1
cat >/dev/null

marked() { grep -lsFxz "FLYBALL_PLANE=$folder" /proc/[0-9]*/environ | cut -d / -f 3; }
# Mount points of control groups.
trees() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts; }
# The kubelet's own pods: those of other tests, and of benches, have a root of their own.
pods() { trees | while read -r tree; do [ ! -d "$tree/kubepods" ] || echo "$tree/kubepods"; done; }
members() { find $(pods) /dev/null -name cgroup.procs -exec cat {} + 2>/dev/null | grep -vx 0 | sort -u; }

# Kills those that "$@" prints until it prints none, for at most ten seconds.
end() {
  for _ in $(seq 100); do
    pids=$("$@")
    [ -n "$pids" ] || return 0
    kill -KILL $pids 2>/dev/null
    sleep 0.1
  done
}

end marked
if [ -e "$folder/node" ]; then
  end members
  for _ in $(seq 50); do
    find $(pods) /dev/null -depth -type d -exec rmdir {} + 2>/dev/null
    [ -n "$(pods)" ] || break
    sleep 0.1
  done
  while read -r path value; do echo "$value" >"$path"; done <"$folder/settings"
  rmdir $(cat "$folder/folders") 2>/dev/null
fi
if [ -e "$folder/number" ]; then
  number=$(cat "$folder/number")
  ip link delete "flyball-$number" 2>/dev/null
  ip -oneline address show dev lo | grep -oE "198\.1[89]\.$number\.[0-9]+/[0-9]+" | while read -r address; do
    ip address delete "$address" dev lo
  done
fi
if [ -e "$folder/undo" ]; then sh "$folder/undo" >/dev/null 2>&1; fi
rm -rf --one-file-system "$folder"
