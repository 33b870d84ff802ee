// Explore: the home page.

import { html } from "lit-html";
import type { App } from "../app";
import "../drawing/heatmap";
import "../drawing/lines";
import { controls } from "./controls";
import { different, hasSelection } from "./different";
import { distributions } from "./distributions";
import { filterBox } from "./filter_box";
import { askHeatmap, heatmapView } from "./heatmap_view";
import { records } from "./records";
import { strip } from "./strip";
import { askTop, topTable } from "./top_table";

export function explore(app: App) {
  const top = askTop(app);
  const heatmap = askHeatmap(app);
  const trouble = [heatmap, top].map((each) => each.trouble).find((each) => each?.isFilter);
  return html`
    <h1 class="unseen">Explore</h1>
    <div class="asking">${filterBox(app, trouble)} ${controls(app)}</div>
    ${strip(app, top)}
    <div class="beside">
      ${heatmapView(app, heatmap)}
      ${hasSelection(app.place.question) ? different(app) : distributions(app)}
    </div>
    ${topTable(app, top)} ${records(app)}
  `;
}
