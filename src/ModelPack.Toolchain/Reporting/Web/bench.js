const rows = data.rows;
const variant = r => `${r.model} ${r.format}, ${r.threads} thr., ${r.cpu}`;
const latest = [...new Map(rows.map(r => [variant(r), r])).values()];
const models = [...new Set(rows.map(r => r.model))];

main.append(tiles([['Measurements', String(rows.length)], ['Models', String(models.length)], ['Machines', String(new Set(rows.map(r => r.cpu)).size)], rows.length ? ['Latest', rows[rows.length - 1].time.slice(0, 10)] : null]));

// Slowest and fastest of a model on one scale: what a format and more threads bring.
for (const model of models) {
  const own = latest.filter(r => r.model === model), slowest = Math.max(...own.map(r => r.median_ms)), most = Math.max(...own.map(r => r.rss_bytes || 0));
  section('m' + models.indexOf(model), model, table('Latest measurements of ' + model, [
    { title: 'format', value: r => r.format }, { title: 'threads', num: true, value: r => r.threads }, { title: 'machine', value: r => r.cpu },
    { title: 'median ms', num: true, value: r => r.median_ms, cell: r => [r.median_ms.toFixed(3), bar(r.median_ms / slowest)] },
    { title: 'p90 ms', num: true, value: r => r.p90_ms, cell: r => r.p90_ms.toFixed(3) },
    { title: 'load s', num: true, value: r => r.load_seconds, cell: r => r.load_seconds.toFixed(3) },
    { title: 'memory', num: true, value: r => r.rss_bytes, cell: r => r.rss_bytes === null ? '' : [bytes(r.rss_bytes), bar(r.rss_bytes / Math.max(1, most))] },
    { title: 'measured', value: r => r.time },
  ], own, 3).box, history(model));
}

/** Medians over time, a line for every format, number of threads and machine that was measured more than once. */
function history(model) {
  const lines = [...new Set(rows.filter(r => r.model === model).map(variant))].map(v => [v, rows.filter(r => variant(r) === v)]).filter(([, l]) => l.length > 1);
  if (lines.length === 0) return el('p', { class: 'muted' }, 'Measured once: a second measurement draws its course.');
  const W = 760, H = 260, L = 70, B = 30, n = Math.max(...lines.map(([, l]) => l.length)), top = Math.max(...lines.flatMap(([, l]) => l.map(r => r.median_ms)));
  const X = i => L + i / Math.max(1, n - 1) * (W - L - 20), Y = v => H - B - v / top * (H - B - 20);
  const svg = el('svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': `Median latency of ${model} from measurement to measurement; the table of all measurements has the numbers` },
    el('line', { class: 'axis', x1: L, y1: H - B, x2: W - 20, y2: H - B }), el('line', { class: 'axis', x1: L, y1: 20, x2: L, y2: H - B }),
    el('text', { x: 6, y: 14 }, 'median ms'), el('text', { x: L - 6, y: Y(top) + 4, 'text-anchor': 'end' }, top.toFixed(2)), el('text', { x: L - 6, y: H - B, 'text-anchor': 'end' }, '0'));
  lines.forEach(([v, l], k) => {
    svg.append(el('path', { class: 'front', 'stroke-dasharray': k ? `${2 + 3 * k} ${2 + k}` : null, d: l.map((r, i) => (i ? 'L' : 'M') + X(i).toFixed(1) + ' ' + Y(r.median_ms).toFixed(1)).join('') }, el('title', {}, v)));
    svg.append(el('text', { x: X(0) + 6, y: Y(l[0].median_ms) - 6 }, `${l[0].format}, ${l[0].threads} thr.`));
  });
  return svg;
}

section('all', 'All measurements', table('Table of all measurements', [
  { title: 'measured', value: r => r.time }, { title: 'model', value: r => r.model }, { title: 'format', value: r => r.format }, { title: 'threads', num: true, value: r => r.threads },
  { title: 'median ms', num: true, value: r => r.median_ms, cell: r => r.median_ms.toFixed(3) }, { title: 'p90 ms', num: true, value: r => r.p90_ms, cell: r => r.p90_ms.toFixed(3) }, { title: 'machine', value: r => r.cpu },
], rows).box);
