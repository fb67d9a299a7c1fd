// Curves over time, by uPlot, in the page's colours.
import { formats } from "./format.js";

const { uPlot } = globalThis;
const height = 190;

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const inWords = (time) => clock.format(new Date(time * 1000));

// Chart draws lines in an element, whose width it follows. as names a format of format.js for the values.
export class Chart {
  #box;
  #as;
  #names = [];
  #data = [];
  #plot = null;

  constructor(box, as) {
    this.#box = box;
    this.#as = formats[as];
    new ResizeObserver(() => this.#plot?.setSize({ width: box.clientWidth, height })).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  // show draws data, [times, values of the first name, …].
  show(names, data) {
    const same = this.#plot !== null && names.join() === this.#names.join();
    this.#names = names;
    this.#data = data;
    if (same) this.#plot.setData(data);
    else this.#draw();
  }

  #draw() {
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#names.length > 0) this.#plot = new uPlot(this.#options(), this.#data, this.#box);
  }

  #options() {
    const axis = {
      stroke: style("--soft"), font: "12px system-ui, sans-serif",
      grid: { stroke: style("--edge"), width: 1 }, ticks: { show: false },
    };
    const words = (value) => this.#as(value ?? NaN);
    return {
      width: this.#box.clientWidth, height,
      cursor: { sync: { key: "busbar" }, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, size: 26, space: 80, values: (_, times) => times.map((t) => inWords(t)) },
        { ...axis, size: 66, space: 34, values: (_, values) => values.map(words) },
      ],
      series: [
        { label: "at", value: (plot, _, __, i) => inWords(plot.data[0].at(i ?? -1)) },
        ...this.#names.map((label, i) => ({
          label, stroke: style(`--line-${i % 6 + 1}`), width: 2, points: { show: false },
          fill: this.#names.length === 1 ? style("--under") : undefined, value: (plot, _, line, i) => words(plot.data[line].at(i ?? -1)),
        })),
      ],
    };
  }
}
