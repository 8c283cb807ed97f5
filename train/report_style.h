#pragma once

#include <string_view>

namespace minnow {

/// The style sheet of a report: light and dark as the reader's system is, and on paper.
inline constexpr std::string_view kReportStyle = R"(
:root { color-scheme: light dark; --text: #1b1e23; --page: #ffffff; --dim: #5c6470; --line: #d5d9df;
  --c0: #1f5fd0; --c1: #c2410c; --c2: #217a3c; --c3: #8b35b0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e8eb; --page: #15181c; --dim: #a0a8b3; --line: #3a414a;
    --c0: #7aa7ff; --c1: #ff9d5c; --c2: #6fd08c; --c3: #d79bf5; }
}
@media print {
  :root { --text: #000; --page: #fff; --dim: #444; --line: #ccc;
    --c0: #1f5fd0; --c1: #c2410c; --c2: #217a3c; --c3: #8b35b0; }
  label { display: none; }
  .plots { grid-template-columns: 1fr 1fr !important; }
  figure, .card, tr { break-inside: avoid; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 1340px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-weight: 600; } .legend { margin: 0; color: var(--dim); font-size: 0.9em; }
label { color: var(--dim); font-size: 0.9em; }
label:has(:checked) ~ .linear, label:has(:not(:checked)) ~ .log { display: none; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--dim); font-size: 12px; }
.end { text-anchor: end; } .mid { text-anchor: middle; } .grid { stroke: var(--line); fill: none; }
.curve { fill: none; stroke: currentColor; stroke-width: 1.5; stroke-linejoin: round; }
.dense { stroke-width: 0.8; opacity: 0.7; }
circle, rect { fill: currentColor; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
table { border-collapse: collapse; } th, td { padding: 0.15rem 0.6rem; text-align: right; font-weight: normal; }
.facts th { text-align: left; color: var(--dim); } .facts td { text-align: left; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } .heat td { padding: 0.2rem 0.4rem; min-width: 1.6rem; border: 1px solid var(--line);
  print-color-adjust: exact; }
.heat th { color: var(--dim); } .heat thead th { vertical-align: bottom; }
.heat thead th span { writing-mode: vertical-rl; }
.cards { display: flex; flex-wrap: wrap; gap: 0.8rem; }
.card { width: 8.5rem; font-size: 0.85em; } .card img { width: 96px; height: 96px; object-fit: contain;
  image-rendering: pixelated; display: block; } .card figcaption { font-weight: normal; overflow-wrap: anywhere; }
pre { overflow-x: auto; border: 1px solid var(--line); padding: 0.8rem; } .note { color: var(--dim); }
)";

}  // namespace minnow
