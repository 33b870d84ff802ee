// <chest-lines>: lines over time, by uPlot; a drag chooses a time range, releases are marked.

import uPlot from "uplot";
import type { Release } from "../asking/answers";
import { moment } from "../words/format";
import { colour, onThemeChange } from "./colours";

export interface Line {
  label: string;
  /** A custom property of the style sheet. */
  colour: string;
  values: (number | null)[];
}

export interface Lines {
  times: number[];
  lines: Line[];
  releases: Release[];
  format: (value: number) => string;
  height: number;
  /** Small: without a legend, with few ticks. */
  isSmall: boolean;
}

class LinesElement extends HTMLElement {
  private plot: uPlot | undefined;
  private drawn = "";
  private shape: Lines | undefined;
  private readonly sized = new ResizeObserver(() => this.resize());
  private unlisten: () => void = () => undefined;

  set lines(lines: Lines) {
    const drawn = JSON.stringify(lines);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.shape = lines;
    if (this.isConnected) this.draw();
  }

  connectedCallback(): void {
    this.sized.observe(this);
    this.unlisten = onThemeChange(() => this.draw());
    this.draw();
  }

  disconnectedCallback(): void {
    this.sized.disconnect();
    this.unlisten();
    this.plot?.destroy();
    this.plot = undefined;
  }

  private resize(): void {
    const width = this.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this.plot.height });
    else if (!this.plot) this.draw();
  }

  private draw(): void {
    const shape = this.shape;
    this.plot?.destroy();
    this.plot = undefined;
    if (!shape || !this.clientWidth) return;
    const text = colour(this, "faint");
    const grid = colour(this, "line");
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    this.plot = new uPlot(
      {
        width: this.clientWidth,
        height: shape.height,
        pxAlign: false,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
        legend: { show: !shape.isSmall },
        cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 5 } },
        scales: { y: { range: (_self, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
        axes: [
          { ...axis, size: 22, space: shape.isSmall ? 70 : 80, values: clock },
          { ...axis, size: shape.isSmall ? 56 : 64, space: 28, values: (_self, ticks) => ticks.map(shape.format) },
        ],
        series: [
          { value: (_self, seconds) => (seconds === null ? "" : moment(seconds * 1000)) },
          ...shape.lines.map((line) => ({
            label: line.label,
            stroke: colour(this, line.colour),
            width: 1.5,
            points: { show: shape.times.length < 2 },
            value: (_self: uPlot, value: number | null) => (value === null ? "–" : shape.format(value)),
          })),
        ],
        hooks: {
          draw: [(plot) => this.markReleases(plot, shape.releases)],
          setSelect: [(plot) => this.choose(plot)],
        },
      },
      [shape.times.map((time) => time / 1000), ...shape.lines.map((line) => line.values)] as uPlot.AlignedData,
      this,
    );
  }

  private markReleases(plot: uPlot, releases: Release[]): void {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour(this, "release");
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const { time_ms } of releases) {
      const x = plot.valToPos(time_ms / 1000, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  private choose(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 4) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")].map((each) => each * 1000);
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.dispatchEvent(new CustomEvent("range", { detail: { from, to } }));
  }
}

/** 14:05, or the day where another begins. */
function clock(_self: uPlot, ticks: number[]): string[] {
  let day = "";
  return ticks.map((seconds) => {
    const text = new Date(seconds * 1000).toISOString();
    const isNew = day !== "" && day !== text.slice(5, 10);
    day = text.slice(5, 10);
    const isMidnight = text.slice(11, 16) === "00:00";
    return isNew || isMidnight ? day : text.slice(11, 16);
  });
}

customElements.define("chest-lines", LinesElement);
