// paint: a heatmap on a canvas: the darker (on a dark page: the lighter) a cell, the more requests.

import type { Heatmap } from "../asking/answers";
import { duration, moment } from "../words/format";
import { colour, scaleOf } from "./colours";
import type { Cells, HeatmapGrid } from "./heatmap_grid";

const TICKS_MS = [0.001, 0.01, 0.1, 1, 10, 100, 1000, 10_000, 60_000, 600_000, 3_600_000];
const COLUMN_TICK_PIXELS = 84;
const LABEL_GAP_PIXELS = 16;

/**
 * @param overlay the same question with a condition more: where these requests lie.
 * @param chosen the rectangle.
 */
export function paint(
  canvas: HTMLCanvasElement,
  grid: HeatmapGrid,
  overlay: Heatmap | null,
  chosen: Cells | null,
): void {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(grid.width * ratio);
  canvas.height = Math.round(grid.height * ratio);
  const ctx = canvas.getContext("2d");
  if (!ctx) return;
  ctx.scale(ratio, ratio);
  ctx.font = "11px system-ui, sans-serif";
  if (grid.isEmpty) return;
  paintCells(ctx, canvas, grid, overlay !== null);
  if (overlay) paintOverlay(ctx, canvas, grid, overlay);
  paintAxes(ctx, canvas, grid);
  paintReleases(ctx, canvas, grid);
  if (chosen) paintRectangle(ctx, canvas, grid, chosen);
}

function paintCells(ctx: CanvasRenderingContext2D, canvas: Element, grid: HeatmapGrid, isDimmed: boolean): void {
  const scale = scaleOf(canvas);
  const failed = colour(canvas, "bad");
  let most = 1;
  for (let column = 0; column < grid.columns; column++) {
    for (let row = 0; row <= grid.topRow; row++) most = Math.max(most, grid.count(column, row));
  }
  ctx.globalAlpha = isDimmed ? 0.35 : 1;
  for (let column = 0; column < grid.columns; column++) {
    for (let row = 0; row <= grid.topRow; row++) {
      const count = grid.count(column, row);
      if (count <= 0) continue;
      // One request is to be seen beside a thousand: the scale is that of the logarithm.
      const step = Math.round((Math.log1p(count) / Math.log1p(most)) * (scale.length - 1));
      fillCell(ctx, grid, column, row, scale[Math.max(0, step)] ?? "");
      const errors = row < grid.rows ? (grid.data.errors[column]?.[row] ?? 0) : 0;
      if (errors > 0) paintErrors(ctx, grid, column, row, errors / count, failed);
    }
  }
  ctx.globalAlpha = 1;
}

/** The overflow looks different: its cells are rings, since they are no further step of the axis. */
function fillCell(ctx: CanvasRenderingContext2D, grid: HeatmapGrid, column: number, row: number, fill: string): void {
  const [x, y, width, height] = cellBox(grid, column, row);
  ctx.fillStyle = fill;
  if (row < grid.rows) {
    ctx.fillRect(x, y, width, height);
    return;
  }
  ctx.strokeStyle = fill;
  ctx.lineWidth = 3;
  ctx.beginPath();
  ctx.arc(x + width / 2, y + height / 2, Math.max(2, Math.min(width, height) / 2 - 2), 0, 2 * Math.PI);
  ctx.stroke();
  ctx.lineWidth = 1;
}

function paintErrors(
  ctx: CanvasRenderingContext2D,
  grid: HeatmapGrid,
  column: number,
  row: number,
  share: number,
  fill: string,
): void {
  const [x, y, width, height] = cellBox(grid, column, row);
  ctx.fillStyle = fill;
  ctx.fillRect(
    x,
    y + height - Math.max(2, height * Math.min(1, share)),
    Math.max(2, width / 4),
    Math.max(2, height * Math.min(1, share)),
  );
}

function paintOverlay(ctx: CanvasRenderingContext2D, canvas: Element, grid: HeatmapGrid, overlay: Heatmap): void {
  ctx.fillStyle = colour(canvas, "accent");
  overlay.times_ms.forEach((time, place) => {
    const column = grid.columnOf(time + overlay.step_ms / 2);
    if (column < 0 || column >= grid.columns) return;
    const counts = [...(overlay.counts[place] ?? []), overlay.overflow[place] ?? 0];
    counts.forEach((count, row) => {
      const low = overlay.bounds_ms[row] ?? 0;
      if (count > 0)
        fillCell(
          ctx,
          grid,
          column,
          grid.rowOf(Math.sqrt(low * (overlay.bounds_ms[row + 1] ?? low * 1.02))),
          colour(canvas, "accent"),
        );
    });
  });
}

function paintAxes(ctx: CanvasRenderingContext2D, canvas: Element, grid: HeatmapGrid): void {
  const bounds = grid.data.bounds_ms;
  ctx.fillStyle = colour(canvas, "faint");
  ctx.strokeStyle = colour(canvas, "line");
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  for (const tick of TICKS_MS) {
    const y = grid.yOf(tick);
    if (y === null || y < grid.top + 4) continue;
    ctx.fillText(duration(tick), grid.left - 6, y);
    line(ctx, grid.left - 3, y, grid.left, y);
  }
  if (grid.hasOverflow) {
    ctx.fillText(`> ${duration(bounds[grid.rows])}`, grid.left - 6, grid.overflowTop + grid.overflowHeight / 2);
    ctx.setLineDash([2, 3]);
    line(ctx, grid.left, grid.top - 3, grid.right, grid.top - 3);
    ctx.setLineDash([]);
  }
  paintTimes(ctx, grid);
  line(ctx, grid.left, grid.bottom, grid.right, grid.bottom);
}

/** The day stands where it begins; no label touches another, or the edge. */
function paintTimes(ctx: CanvasRenderingContext2D, grid: HeatmapGrid): void {
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  const every = Math.max(1, Math.ceil(COLUMN_TICK_PIXELS / ((grid.right - grid.left) / grid.columns)));
  let [day, end] = ["", 0];
  for (let column = 0; column < grid.columns; column += every) {
    const whole = moment(grid.data.times_ms[column] ?? 0, grid.data.step_ms < 60_000 ? "second" : "minute");
    const text = whole.startsWith(day || "-") ? whole.slice(6) : whole;
    const width = ctx.measureText(text).width;
    const begin = Math.max(grid.left, Math.min(grid.x(column) - width / 2, grid.width - width));
    line(ctx, grid.x(column), grid.bottom, grid.x(column), grid.bottom + 4);
    if (begin < end + LABEL_GAP_PIXELS) continue;
    ctx.fillText(text, begin, grid.bottom + 6);
    [day, end] = [whole.slice(0, 5), begin + width];
  }
}

function paintReleases(ctx: CanvasRenderingContext2D, canvas: Element, grid: HeatmapGrid): void {
  ctx.strokeStyle = ctx.fillStyle = colour(canvas, "release");
  ctx.textBaseline = "top";
  for (const { time_ms, release } of grid.data.releases) {
    const x = grid.x((time_ms - (grid.data.times_ms[0] ?? 0)) / grid.data.step_ms);
    if (x < grid.left || x > grid.right) continue;
    ctx.setLineDash([4, 3]);
    line(ctx, x, 12, x, grid.bottom);
    ctx.setLineDash([]);
    ctx.textAlign = x > grid.right - 80 ? "right" : "left";
    ctx.fillText(`▾ ${release.slice(0, 24)}`, x - 4, 1);
  }
}

function paintRectangle(ctx: CanvasRenderingContext2D, canvas: Element, grid: HeatmapGrid, cells: Cells): void {
  const [x, , , ,] = cellBox(grid, cells.firstColumn, cells.firstRow);
  const y = grid.y(cells.lastRow);
  const bottom = grid.y(cells.firstRow) + grid.rowHeight(cells.firstRow);
  ctx.strokeStyle = colour(canvas, "accent");
  ctx.lineWidth = 2;
  ctx.strokeRect(x - 1, y - 1, grid.x(cells.lastColumn + 1) - x + 2, bottom - y + 2);
  ctx.globalAlpha = 0.12;
  ctx.fillStyle = colour(canvas, "accent");
  ctx.fillRect(x - 1, y - 1, grid.x(cells.lastColumn + 1) - x + 2, bottom - y + 2);
  ctx.globalAlpha = 1;
  ctx.lineWidth = 1;
}

function cellBox(grid: HeatmapGrid, column: number, row: number): [number, number, number, number] {
  const [x, y] = [grid.x(column), grid.y(row)];
  const gap = grid.columns > 200 ? 0 : 0.5;
  return [x, y, Math.max(1, grid.x(column + 1) - x - gap), Math.max(1, grid.rowHeight(row) - gap)];
}

function line(ctx: CanvasRenderingContext2D, x: number, y: number, toX: number, toY: number): void {
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(toX, toY);
  ctx.stroke();
}
