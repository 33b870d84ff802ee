// HeatmapGrid: where the cells of a heatmap lie on the canvas, and which requests a place on it means.

import type { Heatmap } from "../asking/answers";
import type { Rectangle } from "../words/question";

const LEFT = 58;
const RIGHT = 8;
const TOP = 18;
const BOTTOM = 22;
const OVERFLOW_HEIGHT = 14;
const OVERFLOW_GAP = 6;

/** Cells, from the first column and row to the last ones; the row behind the last is the overflow. */
export interface Cells {
  firstColumn: number;
  lastColumn: number;
  firstRow: number;
  lastRow: number;
}

export class HeatmapGrid {
  readonly columns: number;
  readonly rows: number;
  readonly hasOverflow: boolean;
  readonly left = LEFT;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly overflowTop = TOP;
  readonly overflowHeight = OVERFLOW_HEIGHT;

  constructor(
    readonly data: Heatmap,
    readonly width: number,
    readonly height: number,
  ) {
    this.columns = data.times_ms.length;
    this.rows = Math.max(0, data.bounds_ms.length - 1);
    this.hasOverflow = data.overflow.some((each) => each > 0);
    this.right = width - RIGHT;
    this.top = TOP + (this.hasOverflow ? OVERFLOW_HEIGHT + OVERFLOW_GAP : 0);
    this.bottom = height - BOTTOM;
  }

  get isEmpty(): boolean {
    return this.columns === 0 || this.rows === 0;
  }

  get topRow(): number {
    return this.hasOverflow ? this.rows : this.rows - 1;
  }

  count(column: number, row: number): number {
    return (row === this.rows ? this.data.overflow[column] : this.data.counts[column]?.[row]) ?? 0;
  }

  x(column: number): number {
    return this.left + ((this.right - this.left) * column) / this.columns;
  }

  /** Where the row begins, seen from above. */
  y(row: number): number {
    if (row === this.rows && this.hasOverflow) return this.overflowTop;
    return this.bottom - ((this.bottom - this.top) * (row + 1)) / this.rows;
  }

  /** Where on the axis a duration is; null if it is beside it. */
  yOf(duration: number): number | null {
    const { bounds_ms } = this.data;
    const row = bounds_ms.findIndex((bound) => bound > duration) - 1;
    const [low, high] = [bounds_ms[row], bounds_ms[row + 1]];
    if (row < 0 || low === undefined || high === undefined) return null;
    const part = low > 0 ? Math.log(duration / low) / Math.log(high / low) : duration / high;
    return this.bottom - ((this.bottom - this.top) * (row + part)) / this.rows;
  }

  rowHeight(row: number): number {
    return row === this.rows ? this.overflowHeight : (this.bottom - this.top) / this.rows;
  }

  columnAt(x: number): number {
    return clamp(Math.floor(((x - this.left) / (this.right - this.left)) * this.columns), this.columns - 1);
  }

  rowAt(y: number): number {
    if (this.hasOverflow && y < this.top - OVERFLOW_GAP / 2) return this.rows;
    return clamp(Math.floor(((this.bottom - y) / (this.bottom - this.top)) * this.rows), this.rows - 1);
  }

  columnOf(time: number): number {
    const begin = this.data.times_ms[0] ?? 0;
    return Math.floor((time - begin) / this.data.step_ms + 1e-9);
  }

  /** The row of a duration; the overflow's above the last bound. */
  rowOf(duration: number): number {
    const place = this.data.bounds_ms.findIndex((bound) => bound > duration * (1 + 1e-9));
    return place < 0 ? this.topRow : Math.max(0, place - 1);
  }

  cellsOf({ from, to, low, high }: Rectangle): Cells {
    const lastColumn = Math.max(this.columnOf(from), this.columnOf(to - 1));
    return {
      firstColumn: clamp(this.columnOf(from), this.columns - 1),
      lastColumn: clamp(lastColumn, this.columns - 1),
      firstRow: this.rowOf(low),
      lastRow: high === null ? this.topRow : Math.max(this.rowOf(low), this.rowOf(high * (1 - 1e-6))),
    };
  }

  rectangleOf({ firstColumn, lastColumn, firstRow, lastRow }: Cells): Rectangle {
    const { times_ms, bounds_ms, step_ms } = this.data;
    const last = bounds_ms[this.rows] ?? 0;
    return {
      from: Math.round(times_ms[firstColumn] ?? 0),
      to: Math.round((times_ms[lastColumn] ?? 0) + step_ms),
      low: firstRow >= this.rows ? last : (bounds_ms[firstRow] ?? 0),
      high: lastRow >= this.topRow ? null : (bounds_ms[lastRow + 1] ?? null),
    };
  }

  countIn(cells: Cells): number {
    let sum = 0;
    for (let column = cells.firstColumn; column <= cells.lastColumn; column++) {
      for (let row = cells.firstRow; row <= cells.lastRow; row++) sum += this.count(column, row);
    }
    return sum;
  }
}

export function clamp(number: number, most: number): number {
  return Math.max(0, Math.min(most, number));
}
