"use strict";
(() => {
  // Colours are variables of the style sheet, so that plots follow light, dark and print.
  const style = () => getComputedStyle(document.documentElement);
  const resolved = (value, colours) => {
    if (typeof value === "string") {
      return value.startsWith("--") ? colours.getPropertyValue(value).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => resolved(item, colours));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, resolved(item, colours)]),
    );
  };
  const read = (plot) => JSON.parse(document.getElementById(`${plot.id}-data`).textContent);
  const thousands = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");

  const axis = { gridcolor: "--rule", linecolor: "--rule", zeroline: false, automargin: true };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    separators: ".\u202f",
    margin: { l: 20, r: 20, t: 30, b: 45 },
    hoverlabel: { align: "left", bgcolor: "--card", bordercolor: "--rule", font: { color: "--ink" } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "--ink-soft", activecolor: "--accent" },
  };
  const font = () => ({
    color: "--ink", size: 12, family: getComputedStyle(document.body).fontFamily,
  });
  const config = {
    displaylogo: false,
    // Nothing leaves the page: newer versions offer to send plots to their maker.
    showSendToCloud: false,
    showTips: false,
    responsive: true,
    doubleClick: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };
  const printing = matchMedia("print");
  // Of A4 and Letter, without their margins.
  const paper = 690;
  const draw = (plot, traces, layout) => {
    const colours = style();
    const whole = { ...base, font: font(), autosize: true, ...layout };
    if (printing.matches) whole.width = paper;
    whole.xaxis = { ...axis, ...layout.xaxis };
    whole.yaxis = { ...axis, ...layout.yaxis };
    return Plotly.react(plot, resolved(traces, colours), resolved(whole, colours), config);
  };
  const drawers = [];

  const figure = (plot) => {
    const { data, layout } = read(plot);
    const home = { "xaxis.range": layout.xaxis.range, "yaxis.range": layout.yaxis.range };
    const show = () => draw(plot, structuredClone(data), structuredClone(layout));
    drawers.push(show);
    show();
    plot.on("plotly_doubleclick", () => Plotly.relayout(plot, structuredClone(home)));
  };

  // Thickness of a slice and its shift, in tracks.
  const lanes = {
    phase: [0.84, -0.1],
    whole: [0.62, 0],
    wait: [0.16, 0],
    within: [0.1, 0.38],
  };

  // Of a character of what a wait is for.
  const pixels = 6;

  // Slices of a track that are seen between two cycles, those narrower than `unit` together, each
  // with the share of its time that it takes.
  const visible = (track, kinds, texts, from, to, unit) => {
    const shown = [];
    const open = new Map();
    const flush = (lane) => {
      const group = open.get(lane);
      open.delete(lane);
      if (!group) return;
      const [kind] = [...group.cycles].reduce((a, b) => (b[1] > a[1] ? b : a));
      if (group.count === 1) {
        shown.push([group.start, group.end, kind, group.text, "", 1]);
        return;
      }
      const taken = [...group.cycles.values()].reduce((a, b) => a + b);
      const what = { phase: "parts of phases", whole: "instructions" }[lane] ?? "waits";
      const text = `${thousands(group.count)} ${what} in ${thousands(taken)} cycles, zoom in`;
      shown.push([group.start, group.end, kind, text, "", taken / (group.end - group.start)]);
    };
    for (const [start, end, kind, text, more] of track.slices) {
      if (end < from || start > to) continue;
      const { lane } = kinds[kind];
      const group = open.get(lane);
      if (end - start >= unit) {
        flush(lane);
        shown.push([start, end, kind, texts[text], more, 1]);
        continue;
      }
      if (group && end - group.start <= 2 * unit) {
        group.end = Math.max(group.end, end);
        group.count += 1;
        group.cycles.set(kind, (group.cycles.get(kind) ?? 0) + end - start);
        continue;
      }
      flush(lane);
      const full = more ? `${texts[text]}<br>${more}` : texts[text];
      open.set(lane, { start, end, count: 1, text: full, cycles: new Map([[kind, end - start]]) });
    }
    for (const lane of [...open.keys()]) flush(lane);
    return shown;
  };

  const timeline = (plot) => {
    const { total, kinds, tracks, texts } = read(plot);
    const home = [0, total];
    let range = home;
    const show = () => {
      const [from, to] = range;
      const width = to - from;
      const unit = width / Math.max(plot.clientWidth - 150, 300);
      const traces = kinds.map(({ name, colour, lane }) => ({
        type: "bar",
        orientation: "h",
        name,
        legendgroup: name,
        showlegend: lane !== "phase",
        legendrank: { whole: 1, wait: 2, within: 3 }[lane],
        base: [],
        x: [],
        y: [],
        width: [],
        text: [],
        customdata: [],
        textposition: "inside",
        insidetextanchor: "middle",
        textangle: 0,
        marker: { color: colour, line: { width: 0 } },
        hovertemplate: "%{customdata}<extra></extra>",
      }));
      const causes = {
        type: "scatter",
        mode: "text",
        x: [],
        y: [],
        text: [],
        textposition: "top center",
        textfont: { size: 10, color: "--ink-soft" },
        hoverinfo: "skip",
        showlegend: false,
        cliponaxis: true,
      };
      for (const track of tracks) {
        // What lies beside the window is there when it is moved.
        const slices = visible(track, kinds, texts, from - width, to + width, unit);
        for (const [start, end, kind, text, more, taken] of slices) {
          const trace = traces[kind];
          const { lane, name } = kinds[kind];
          const [thick, shift] = lanes[lane];
          const seen = [Math.max(start, from), Math.min(end, to)];
          if (lane === "wait" && seen[1] - seen[0] > (pixels * more.length + 10) * unit) {
            causes.x.push((seen[0] + seen[1]) / 2);
            causes.y.push(track.place);
            causes.text.push(more);
          }
          const detail = more && lane !== "wait" ? `<br>${more}` : "";
          // A phase's name stands in the middle of what is seen of it.
          const clipped = lane === "phase";
          const first = clipped ? Math.max(start, from) : start;
          const last = clipped ? Math.min(end, to) : end;
          if (first >= last) continue;
          trace.base.push(first);
          trace.x.push(last - first);
          trace.y.push(track.place + shift);
          // What is drawn together is as thick as it fills its time.
          trace.width.push(thick * Math.max(0.1, Math.min(1, taken)));
          trace.text.push(lane === "phase" ? name : "");
          trace.customdata.push(
            `${text}${detail}<br>cycles ${thousands(start)} to ${thousands(end)}: ` +
              thousands(end - start),
          );
        }
      }
      return draw(plot, [...traces, causes], {
        barmode: "overlay",
        bargap: 0,
        hovermode: "closest",
        dragmode: "zoom",
        uirevision: "kept",
        uniformtext: { minsize: 8, mode: "hide" },
        legend: { orientation: "h", x: 0, y: -0.02, yref: "paper", yanchor: "top" },
        margin: { l: 20, r: 20, t: 50, b: 50 },
        xaxis: {
          range: [...range], side: "top", tickformat: ",d", title: { text: "cycles" }, nticks: 12,
        },
        yaxis: {
          range: [tracks.at(-1).place + 0.6, -0.6],
          fixedrange: true,
          showgrid: false,
          tickvals: tracks.map((track) => track.place),
          ticktext: tracks.map((track) => track.name),
        },
      });
    };
    drawers.push(show);
    show();
    plot.on("plotly_doubleclick", () => Plotly.relayout(plot, { "xaxis.range": [...home] }));
    plot.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((key) => key.startsWith("xaxis") || key === "autosize")) return;
      const [from, to] = plot.layout.xaxis.range;
      if (from === range[0] && to === range[1] && !("autosize" in change)) return;
      range = [from, to];
      show();
    });
  };

  const kinds = { figure, timeline };
  for (const plot of document.querySelectorAll(".plot")) kinds[plot.dataset.kind](plot);
  const redraw = () => drawers.forEach((show) => show());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  printing.addEventListener("change", redraw);
})();
