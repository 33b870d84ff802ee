// <chest-heatmap>: a heatmap in which a rectangle is chosen, by a drag or by keys.

import type { Heatmap } from "../asking/answers";
import { count, duration, moment } from "../words/format";
import type { Rectangle } from "../words/question";
import { onThemeChange } from "./colours";
import { type Cells, clamp, HeatmapGrid } from "./heatmap_grid";
import { paint } from "./heatmap_paint";

const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};

/** Events: "choose" with a Rectangle or null; "say" with a text, for people who listen. */
class HeatmapElement extends HTMLElement {
  private readonly canvas = document.createElement("canvas");
  private readonly tip = document.createElement("div");
  private data: Heatmap | undefined;
  private shown: Heatmap | null = null;
  private grid: HeatmapGrid | undefined;
  private cells: Cells | null = null;
  private chosen: Rectangle | null = null;
  private dragFrom: { column: number; row: number } | null = null;
  private readonly sized = new ResizeObserver(() => this.draw());
  private unlisten: () => void = () => undefined;

  set answer(data: Heatmap | undefined) {
    if (data === this.data) return;
    this.data = data;
    this.place();
  }

  /** Where the requests with the value lie that is pointed at. */
  set overlay(overlay: Heatmap | null) {
    if (overlay === this.shown) return;
    this.shown = overlay;
    this.draw();
  }

  set rectangle(rectangle: Rectangle | null) {
    if (JSON.stringify(rectangle) === JSON.stringify(this.chosen)) return;
    this.chosen = rectangle;
    this.place();
  }

  connectedCallback(): void {
    this.tip.className = "tip";
    this.tip.hidden = true;
    this.tip.setAttribute("aria-hidden", "true");
    this.canvas.setAttribute("aria-hidden", "true");
    this.replaceChildren(this.canvas, this.tip);
    this.sized.observe(this);
    this.unlisten = onThemeChange(() => this.draw());
    this.addEventListener("pointerdown", this.down);
    this.addEventListener("pointermove", this.move);
    this.addEventListener("pointerup", this.up);
    this.addEventListener("pointercancel", this.leave);
    this.addEventListener("pointerleave", this.leave);
    this.addEventListener("keydown", this.press);
    this.place();
  }

  disconnectedCallback(): void {
    this.sized.disconnect();
    this.unlisten();
  }

  private place(): void {
    this.draw();
    this.cells = this.chosen && this.grid && !this.grid.isEmpty ? this.grid.cellsOf(this.chosen) : null;
    this.draw();
  }

  private draw(): void {
    if (!this.data || !this.clientWidth) return;
    this.grid = new HeatmapGrid(this.data, this.clientWidth, this.clientHeight);
    paint(this.canvas, this.grid, this.shown, this.cells);
  }

  private readonly down = (event: PointerEvent): void => {
    if (!this.grid || this.grid.isEmpty || event.button !== 0) return;
    this.setPointerCapture(event.pointerId);
    this.dragFrom = this.at(event, this.grid);
    this.focus({ preventScroll: true, focusVisible: false });
    event.preventDefault();
  };

  private readonly move = (event: PointerEvent): void => {
    const grid = this.grid;
    if (!grid || grid.isEmpty) return;
    const at = this.at(event, grid);
    if (this.dragFrom) {
      this.cells = between(this.dragFrom, at);
      this.draw();
    }
    this.point(event, grid, this.cells && this.dragFrom ? this.cells : between(at, at));
  };

  private readonly up = (event: PointerEvent): void => {
    if (!this.dragFrom || !this.grid) return;
    const at = this.at(event, this.grid);
    const isClick = at.column === this.dragFrom.column && at.row === this.dragFrom.row;
    this.cells = isClick ? null : between(this.dragFrom, at);
    this.dragFrom = null;
    this.draw();
    this.choose();
  };

  private readonly leave = (): void => {
    this.tip.hidden = true;
    if (!this.dragFrom) return;
    this.dragFrom = null;
    this.place();
  };

  private readonly press = (event: KeyboardEvent): void => {
    const grid = this.grid;
    if (!grid || grid.isEmpty) return;
    const arrow = ARROWS[event.key];
    if (arrow) {
      this.cells = this.cells ? stepped(this.cells, arrow, event.shiftKey, grid) : firstCells(grid);
      this.draw();
      this.dispatchEvent(new CustomEvent("say", { detail: this.described(grid, this.cells) }));
    } else if (event.key === "Enter" && this.cells) this.choose();
    else if (event.key === "Escape") {
      this.cells = null;
      this.draw();
      this.choose();
    } else return;
    event.preventDefault();
  };

  private choose(): void {
    const chosen = this.cells && this.grid ? this.grid.rectangleOf(this.cells) : null;
    if (chosen === null && this.chosen === null) return;
    this.chosen = chosen;
    this.dispatchEvent(new CustomEvent("choose", { detail: chosen }));
  }

  private at(event: PointerEvent, grid: HeatmapGrid): { column: number; row: number } {
    const box = this.getBoundingClientRect();
    return { column: grid.columnAt(event.clientX - box.left), row: grid.rowAt(event.clientY - box.top) };
  }

  private point(event: PointerEvent, grid: HeatmapGrid, cells: Cells): void {
    const box = this.getBoundingClientRect();
    this.tip.hidden = false;
    this.tip.textContent = this.described(grid, cells);
    const x = event.clientX - box.left;
    const isRight = x > box.width / 2;
    this.tip.style.left = isRight ? "" : `${x + 14}px`;
    this.tip.style.right = isRight ? `${box.width - x + 14}px` : "";
    this.tip.style.top = `${Math.max(0, event.clientY - box.top - 34)}px`;
  }

  private described(grid: HeatmapGrid, cells: Cells): string {
    const { from, to, low, high } = grid.rectangleOf(cells);
    const times = `${moment(from)} to ${moment(to).slice(6)}`;
    const how = high === null ? `over ${duration(low)}` : `${duration(low)} to ${duration(high)}`;
    return `${count(grid.countIn(cells))} requests, ${how}, ${times}`;
  }
}

function between(one: { column: number; row: number }, other: { column: number; row: number }): Cells {
  return {
    firstColumn: Math.min(one.column, other.column),
    lastColumn: Math.max(one.column, other.column),
    firstRow: Math.min(one.row, other.row),
    lastRow: Math.max(one.row, other.row),
  };
}

/** What the arrows begin with: the slower half, at all times. */
function firstCells(grid: HeatmapGrid): Cells {
  return { firstColumn: 0, lastColumn: grid.columns - 1, firstRow: Math.floor(grid.rows / 2), lastRow: grid.topRow };
}

/** Moved as a whole; with Shift only its right and upper edges. */
function stepped(cells: Cells, [right, up]: [number, number], isLarger: boolean, grid: HeatmapGrid): Cells {
  const lastColumn = clamp(cells.lastColumn + right, grid.columns - 1);
  const lastRow = clamp(cells.lastRow + up, grid.topRow);
  if (isLarger) {
    return {
      ...cells,
      lastColumn: Math.max(lastColumn, cells.firstColumn),
      lastRow: Math.max(lastRow, cells.firstRow),
    };
  }
  const [width, height] = [cells.lastColumn - cells.firstColumn, cells.lastRow - cells.firstRow];
  const firstColumn = clamp(cells.firstColumn + right, grid.columns - 1 - width);
  const firstRow = clamp(cells.firstRow + up, grid.topRow - height);
  return { firstColumn, lastColumn: firstColumn + width, firstRow, lastRow: firstRow + height };
}

customElements.define("chest-heatmap", HeatmapElement);
