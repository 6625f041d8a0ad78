#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest as the tracer of a scenario: what doctor says, whether the kernel takes what was compiled of filters,
# and then two tracers at once, one by fentry and one by kprobes alone. Says that it is attached once both are.

here=$(dirname "$(readlink -f "$0")")
cd "$LAB_OUT" || exit 1

for how in fentry kprobes; do
    options=()
    [ $how = fentry ] || options=(--kprobes)
    (
        bondtrace doctor "${options[@]}" --json >doctor-$how.json 2>doctor-$how.err
        echo $? >doctor-$how.status
    ) &
done
python3 "$here/load_programs.py" "$LAB_OUT/../compiled.jsonl" >loaded.jsonl 2>loaded.err
wait

pids=()
for how in fentry kprobes; do
    options=()
    [ $how = fentry ] || options=(--kprobes)
    env --default-signal=INT bondtrace record "${options[@]}" --iface "$LAB_IFACE" -o $how.arrows 2>$how.err &
    pids+=($!)
done

status=0
end() {
    kill -INT "${pids[@]}"
    for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
    cat fentry.err kprobes.err >&2
    exit $status
}
trap end INT

until grep -q 'bondtrace: attached' fentry.err && grep -q 'bondtrace: attached' kprobes.err; do
    if ! kill -0 "${pids[@]}"; then
        cat ./*.err >&2
        exit 1
    fi
    sleep 0.5
done
echo 'bondtrace: attached: two tracers' >&2
while :; do sleep 1; done
