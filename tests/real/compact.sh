# compact.sh - sourced: which tensors have which type, on one line.
#
# compact < lines "NAME TYPE": "Q4_K=1,4-7 Q6_K=0", tensors numbered in the order of their names, types in that of theirs.
compact() {
    LC_ALL=C sort | awk '
        function put(t) { line[t] = line[t] (line[t] == "" ? "" : ",") (first[t] == last[t] ? first[t] : first[t] "-" last[t]) }
        { t = $2; i = NR - 1
          if (t in last && last[t] == i - 1) { last[t] = i; next }
          if (t in last) put(t)
          first[t] = last[t] = i }
        END { for (t in last) { put(t); print t "=" line[t] } }' | LC_ALL=C sort | tr '\n' ' ' | sed 's/ $//'
}
