// The charts of a page: `data-chart` has the numbers (admin/charts.py), uPlot draws them in the page's colours.
"use strict";

const HEIGHT = 190;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

function options(box, data, colour) {
  const font = getComputedStyle(document.body).fontFamily;
  const axis = { stroke: colour("soft"), font: `12px ${font}`, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
  const bars = uPlot.paths.bars({ size: [0.7, 40], radius: 0.15 });
  const names = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", timeZone: "UTC" };
  const moment = new Intl.DateTimeFormat(document.documentElement.lang, names);
  const half = data.at.length > 1 ? (data.at[1] - data.at[0]) / 2 : 1800;
  return {
    width: box.clientWidth,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: true, range: (_, first, last) => [first - half, last + half] }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 5)] } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    axes: [
      { ...axis, size: 32, grid: { show: false }, values: days },
      { ...axis, size: 48 },
    ],
    series: [
      { label: box.dataset.time, value: (_, seconds) => (seconds === null ? "" : moment.format(new Date(seconds * 1000))) },
      ...data.series.map((one) => ({
        label: one.label,
        stroke: colour(one.colour),
        fill: data.bars ? colour(one.colour) : undefined,
        width: data.bars ? 0 : 2,
        paths: data.bars ? bars : undefined,
        points: { show: data.bars ? false : undefined, size: 5 },
        value: (_, value, series, index) => written(index === null ? null : one.values[index]),
      })),
    ],
  };
}

function written(value) {
  return value === null || value === undefined ? "–" : Math.round(value);
}

function days(plot, moments) {
  const two = (number) => String(number).padStart(2, "0");
  return moments.map((seconds) => {
    const moment = new Date(seconds * 1000);
    const clock = `${two(moment.getUTCHours())}:${two(moment.getUTCMinutes())}`;
    return clock === "00:00" ? `${two(moment.getUTCDate())}.${two(moment.getUTCMonth() + 1)}` : clock;
  });
}

function draw(box) {
  const data = JSON.parse(box.dataset.chart);
  box.replaceChildren();
  // Bars stand on each other: each series is drawn as tall as itself and those after it, which stand in front of it.
  const tall = (place, index) => data.series.slice(place).reduce((total, one) => total + (one.values[index] || 0), 0);
  const values = data.series.map((one, place) => (data.bars ? data.at.map((_, index) => tall(place, index)) : one.values));
  return new uPlot(options(box, data, colours()), [data.at, ...values], box);
}

const boxes = [...document.querySelectorAll("[data-chart]")];
const plots = new Map(boxes.map((box) => [box, draw(box)]));
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const plot = plots.get(target);
    if (plot && Math.abs(plot.width - target.clientWidth) > 1) plot.setSize({ width: target.clientWidth, height: HEIGHT });
  }
});
boxes.forEach((box) => sizes.observe(box));
dark.addEventListener("change", () => boxes.forEach((box) => plots.set(box, draw(box))));
