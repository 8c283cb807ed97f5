# Reads Google Benchmark's JSON, which has one key a line: a row for each benchmark, its counters at the end.
function value(s) { sub(/^[^:]*: */, "", s); sub(/,$/, "", s); gsub(/"/, "", s); return s }
/^    \{/ { name = ""; extra = ""; after = 0 }
/^ *"name":/ { name = value($0); next }
/^ *"error_message":/ { extra = extra "  ERROR " value($0); bad = 1; next }
/^ *"real_time":/ { time = value($0); next }
/^ *"time_unit":/ { unit = value($0); after = 1; next }
/^    \}/ && name != "" { printf "%-56s %10.4g %-2s%s\n", name, time, unit, extra; name = "" }
after && /^ *"[^"]*":/ {
  key = $1; gsub(/[":]/, "", key); v = value($0)
  extra = extra "  " key "=" (v ~ /^[-0-9.]/ ? sprintf("%.3g", v) : v)
}
END { exit bad }
