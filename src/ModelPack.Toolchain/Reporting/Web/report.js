const tensors = data.tensors.map(t => ({ name: t[0], shape: t[1], kind: t[2], encoding: data.encodings[t[3]], before: t[4], after: t[5], bits: t[6], error: t[7] }));
const total = tensors.reduce((s, t) => s + t.after, 0);
const measured = tensors.some(t => t.error !== null);
const facts = data.facts;

main.append(tiles([
  ['Size', bytes(data.file_bytes), data.input_bytes ? 'was ' + bytes(data.input_bytes) : null],
  data.input_bytes ? ['Smaller by', (data.input_bytes / data.file_bytes).toFixed(2) + 'x'] : null,
  ['Bits per weight', fixed(data.bits_per_weight, 2), 'mean, scales included, before lossless coding'],
  ['Tensors', String(tensors.length)],
  data.recipe ? ['Recipe', data.recipe] : null,
  facts['provenance.target'] ? ['Target', facts['provenance.target'], 'accuracy ' + facts['provenance.accuracy']] : null,
]));

// ---- sizes
const bitsShade = bits => shade(bits === null ? 1 : Math.log2(Math.max(1, bits)) / 5, 212);
function squarify(items, x, y, w, h, out) {
  // Bruls, Huizing, van Wijk: Squarified Treemaps. Areas are proportional to bytes.
  const area = items.reduce((s, i) => s + i.after, 0);
  let i = 0, left = area;
  while (i < items.length && w > 0.01 && h > 0.01 && left > 0) {
    const side = Math.min(w, h), scale = w * h / left;
    let row = [], sum = 0, worst = Infinity;
    while (i < items.length) {
      const a = items[i].after * scale, s = sum + a, most = Math.max(a, row.length ? row[0].after * scale : a);
      const ratio = Math.max(side * side * most / (s * s), s * s / (side * side * a));
      if (ratio > worst) break;
      row.push(items[i++]); sum = s; worst = ratio;
    }
    const depth = sum / side;
    let at = 0;
    for (const item of row) {
      const length = item.after * scale / depth;
      out.push(w < h ? [item, x + at, y, length, depth] : [item, x, y + at, depth, length]);
      at += length; left -= item.after;
    }
    if (w < h) { y += depth; h -= depth; } else { x += depth; w -= depth; }
  }
  return out;
}
const map = el('div', { id: 'treemap', tabindex: 0, role: 'img', 'aria-label': 'Area of every tensor by its bytes, colour by its bits per weight. Arrow keys go from tensor to tensor; the table of tensors below has the same data.' });
const about = el('p', { role: 'status' }, 'Point at a tensor, or use the arrow keys, to see what it is.');
const bySize = tensors.filter(t => t.after > 0).sort((a, b) => b.after - a.after);
let chosen = -1;
function choose(i) {
  map.children[chosen]?.classList.remove('chosen');
  chosen = i;
  map.children[i].classList.add('chosen');
  const t = bySize[i];
  about.textContent = `${t.name} ${t.shape}: ${bytes(t.after)}, ${percent(t.after / total)} of all, ${t.encoding}` + (t.error === null ? '' : `, relative error ${percent(t.error)}`);
}
function draw() {
  const w = map.clientWidth, h = map.clientHeight;
  map.replaceChildren(...squarify(bySize, 0, 0, w, h, []).map(([t, x, y, tw, th]) =>
    el('div', { style: `left:${x.toFixed(1)}px;top:${y.toFixed(1)}px;width:${tw.toFixed(1)}px;height:${th.toFixed(1)}px;${bitsShade(t.bits)}` }, tw > 70 && th > 16 ? t.name : '')));
  if (chosen >= 0 && map.children[chosen]) map.children[chosen].classList.add('chosen');
}
map.onmousemove = e => { const i = [...map.children].indexOf(e.target); if (i >= 0) choose(i); };
map.onkeydown = e => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
  if (step) { choose(Math.min(map.children.length - 1, Math.max(0, chosen + step))); e.preventDefault(); }
};
const legend = el('ul', { class: 'legend' }, ...[1, 2, 4, 8, 16, 32].map(b => el('li', {}, el('span', { style: bitsShade(b) }), b + (b === 1 ? ' bit' : ' bits'))));
section('sizes', 'Where the bytes are', map, legend, about);
draw();
addEventListener('resize', draw);

// ---- layers
const numbered = /^(.*?)(\d+)(\D.*)$/;
const cells = new Map(), layers = new Set(), places = new Map();
const loss = new Map((data.tune?.tensors || []).map(t => [t[0], t[1]]));
for (const t of tensors) {
  const m = numbered.exec(t.name);
  if (!m || t.bits === null) continue;
  const place = m[1] + '*' + m[3], layer = Number(m[2]);
  layers.add(layer); places.set(place, (places.get(place) || 0) + 1);
  cells.set(layer + '\n' + place, t);
}
const columns = [...places.keys()].filter(p => places.get(p) > 1).slice(0, 24);
if (layers.size > 1 && columns.length > 0) {
  const choices = [['bits', 'bits per weight', 212, t => t.bits, v => fixed(v, 2)]];
  if (measured) choices.push(['error', 'relative error', 24, t => t.error, percent]);
  if (loss.size > 0) choices.push(['loss', 'what it adds to the loss', 140, t => loss.get(t.name) ?? null, v => v === null ? '' : v.toExponential(1)]);
  const box = el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Layers and what is in them' });
  const select = el('select', { id: 'heat', oninput: () => fill() }, ...choices.map(c => el('option', { value: c[0] }, c[1])));
  const short = p => { const parts = p.split('*')[1].replace(/^[._/]/, ''); return parts.replace(/\.weight$/, ''); };
  function fill() {
    const [, title, hue, value, text] = choices.find(c => c[0] === select.value);
    const all = [...cells.values()].map(value).filter(v => v !== null && v > 0);
    const low = Math.min(...all), high = Math.max(...all);
    const place = v => high > low ? (Math.log(v) - Math.log(low)) / (Math.log(high) - Math.log(low)) : .5;
    box.replaceChildren(el('table', { class: 'heat' }, el('caption', { hidden: '' }, title + ' by layer'),
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'layer'), ...columns.map(c => el('th', { scope: 'col', title: c }, short(c))))),
      el('tbody', {}, ...[...layers].sort((a, b) => a - b).map(l => el('tr', {}, el('th', { scope: 'row' }, String(l)), ...columns.map(c => {
        const t = cells.get(l + '\n' + c), v = t ? value(t) : null;
        return el('td', v === null || v === undefined ? {} : { style: v > 0 ? shade(place(v), hue) : null, title: t.name + ': ' + t.encoding }, v === null || v === undefined ? '' : text(v));
      }))))));
  }
  section('layers', 'Layer by layer', el('div', { class: 'controls' }, el('label', { for: 'heat' }, 'Show'), select), box);
  fill();
}

// ---- tensors
const worst = Math.max(...tensors.map(t => t.error || 0), 1e-12);
const list = table('All tensors', [
  { title: 'tensor', value: t => t.name },
  { title: 'shape', value: t => t.shape },
  { title: 'kind', value: t => t.kind },
  { title: 'bits', num: true, value: t => t.bits, cell: t => fixed(t.bits, 2) },
  { title: 'before', num: true, value: t => t.before, cell: t => bytes(t.before) },
  { title: 'stored', num: true, value: t => t.after, cell: t => [bytes(t.after), bar(t.after / Math.max(1, bySize[0]?.after))] },
  ...(measured ? [{ title: 'relative error', num: true, value: t => t.error, cell: t => t.error === null ? '' : [percent(t.error), bar(t.error / worst)] }] : []),
  { title: 'encoding', value: t => t.encoding },
], tensors, 5);
const count = el('span', { role: 'status', class: 'muted' }, tensors.length + ' tensors');
section('tensors', 'Tensors', el('div', { class: 'controls' },
  el('label', { for: 'find' }, 'Find'), el('input', { id: 'find', type: 'search', oninput: e => { count.textContent = list.filter(e.target.value) + ' tensors'; } }), count),
  measured ? null : el('p', { class: 'muted' }, 'Errors are measured against the original: modelpack report ... --against model.onnx'), list.box);

// ---- plan
if (data.plan) {
  const p = data.plan, run = p.predicted, products = p.nodes.filter(n => n.seconds !== null), sum = products.reduce((s, n) => s + n.seconds, 0);
  const children = [tiles([
    ...p.totals.map(([kernel, n]) => [kernel, n + (n === 1 ? ' node' : ' nodes')]),
    run ? ['Predicted run', (run.seconds * 1e3).toFixed(2) + ' ms', `${run.profile}, rows ${run.rows}, threads ${run.threads}`] : null,
    run ? ['Weights read', bytes(run.weight_bytes), (run.flops / 1e9).toFixed(3) + ' GFLOP'] : null,
  ])];
  if (products.length > 0) {
    const bounds = [...new Set(products.map(n => n.bound))].map(b => `${b}: ${percent(products.filter(n => n.bound === b).reduce((s, n) => s + n.seconds, 0) / sum)}`);
    children.push(el('p', {}, `What products wait for: ${bounds.join(', ')} of their time.`));
  } else children.push(el('p', { class: 'muted' }, 'Times need a machine: modelpack report ... --profile host.json, or --profile with a name of profile --list.'));
  children.push(table('Execution plan', [
    { title: 'node', value: n => n.name }, { title: 'operator', value: n => n.op }, { title: 'kernel', value: n => n.kernel },
    ...(products.length > 0 ? [{ title: 'us', num: true, value: n => n.seconds, cell: n => n.seconds === null ? '' : [micro(n.seconds), bar(n.seconds / Math.max(...products.map(x => x.seconds)))] }, { title: 'bound', value: n => n.bound ?? '' }] : []),
    { title: 'weight', value: n => n.tensor },
  ], p.nodes, products.length > 0 ? 3 : undefined).box);
  if (p.rejected.length > 0) {
    children.push(el('h3', {}, 'What was not chosen, and why'), table('Kernels that were not chosen', [
      { title: 'chosen', value: r => r[0] }, { title: 'instead of', value: r => r[1] }, { title: 'nodes', num: true, value: r => r[3] }, { title: 'because', wrap: true, value: r => r[2] },
    ], p.rejected).box);
  }
  section('plan', 'How it runs', children);
}

// ---- front
if (data.tune) {
  const t = data.tune, points = [...t.front, ...t.uniform].filter(p => p.loss > 0), W = 760, H = 380, L = 70, B = 40;
  const x0 = Math.min(...points.map(p => p.bits)), x1 = Math.max(...points.map(p => p.bits)), y0 = Math.log10(Math.min(...points.map(p => p.loss))), y1 = Math.log10(Math.max(...points.map(p => p.loss)));
  const X = b => L + (b - x0) / Math.max(1e-9, x1 - x0) * (W - L - 20), Y = l => H - B - (Math.log10(l) - y0) / Math.max(1e-9, y1 - y0) * (H - B - 20);
  const svg = el('svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': `Loss against bits per weight: ${t.front.length} best choices and ${t.uniform.length} single formats; the table below has the numbers` });
  svg.append(el('line', { class: 'axis', x1: L, y1: H - B, x2: W - 20, y2: H - B }), el('line', { class: 'axis', x1: L, y1: 20, x2: L, y2: H - B }));
  for (let b = Math.ceil(x0); b <= x1; b++) svg.append(el('text', { x: X(b), y: H - B + 18, 'text-anchor': 'middle' }, String(b)));
  for (let e = Math.ceil(y0); e <= y1; e++) svg.append(el('text', { x: L - 6, y: Y(10 ** e) + 4, 'text-anchor': 'end' }, '1e' + e));
  svg.append(el('text', { x: (W + L) / 2, y: H - 6, 'text-anchor': 'middle' }, 'bits per weight'), el('text', { x: 6, y: 14 }, 'loss (' + t.loss_kind + ')'));
  const front = t.front.filter(p => p.loss > 0);
  svg.append(el('path', { class: 'front', d: front.map((p, i) => (i ? 'L' : 'M') + X(p.bits).toFixed(1) + ' ' + Y(p.loss).toFixed(1)).join('') }));
  for (const p of t.uniform.filter(p => p.loss > 0)) svg.append(el('circle', { class: 'other', cx: X(p.bits), cy: Y(p.loss), r: 5 }, el('title', {}, p.name)), el('text', { x: X(p.bits) + 8, y: Y(p.loss) + 4 }, p.name));
  for (const p of front.filter(p => p.chosen)) svg.append(el('circle', { class: 'star', cx: X(p.bits), cy: Y(p.loss), r: 7 }, el('title', {}, 'chosen')));
  section('front', 'Size against loss', el('p', {}, `The line is the best that was found for every size, circles are single formats, the filled one is the choice (${t.target}).`), svg,
    table('Best choices and single formats', [
      { title: 'choice', value: p => p.name + (p.chosen ? ' (chosen)' : '') }, { title: 'bits per weight', num: true, value: p => p.bits, cell: p => fixed(p.bits, 3) },
      { title: 'bytes', num: true, value: p => p.bytes, cell: p => bytes(p.bytes) }, { title: 'loss', num: true, value: p => p.loss, cell: p => p.loss.toExponential(2) },
    ], points).box);
}

// ---- provenance
section('made', 'What it was made from', el('dl', { class: 'facts' }, ...Object.entries(facts).flatMap(([k, v]) => [el('dt', {}, k), el('dd', {}, v)])),
  data.recipe_json ? [el('h3', {}, 'Recipe'), el('pre', { tabindex: 0, role: 'region', 'aria-label': 'Recipe' }, JSON.stringify(data.recipe_json, null, 2))] : []);
