// The keys, in a dialog.

import { html } from "lit-html";

const KEYS: [string, string][] = [
  ["/", "go to the filter"],
  ["← → ↑ ↓", "in the heatmap: move the rectangle; with Shift: make it larger or smaller"],
  ["Enter", "in the heatmap: what is different about the requests in the rectangle"],
  ["Escape", "in the heatmap: no rectangle"],
  ["Enter", "on a value: show only requests with it"],
  ["x", "on a value: exclude requests with it; the same as a click with Shift"],
  ["?", "this help"],
];

export function toggleHelp(): void {
  const dialog = document.getElementById("help") as HTMLDialogElement | null;
  if (dialog?.open) dialog.close();
  else dialog?.showModal();
}

export function helpDialog() {
  return html`<dialog id="help" aria-labelledby="help-title">
    <h2 id="help-title">Keys</h2>
    <dl>
      ${KEYS.map(([key, meaning]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${meaning}</dd></div>`)}
    </dl>
    <h3>Filters</h3>
    <p>Conditions are separated by blanks, and all of them hold:</p>
    <ul>
      <li><code>user_id=42 plan=free,pro</code></li>
      <li><code>status>=500</code> or <code>status=5xx</code></li>
      <li><code>duration>200ms</code></li>
      <li><code>path~checkout</code> (has it in it), <code>path=/items*</code> (begins so)</li>
      <li><code>error=*</code> (there is one), <code>plan!=free</code></li>
    </ul>
    <form method="dialog"><button>Close</button></form>
  </dialog>`;
}
