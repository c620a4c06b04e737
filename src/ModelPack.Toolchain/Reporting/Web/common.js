'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const main = document.querySelector('main');

/** An element with attributes and children; texts are texts, never markup. */
function el(name, attributes, ...children) {
  const svg = ['svg', 'g', 'line', 'path', 'circle', 'rect', 'text', 'title'].includes(name);
  const element = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === 'onclick' || key === 'oninput' || key === 'onkeydown') element[key] = value;
    else if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter(c => c !== null && c !== undefined));
  return element;
}

const bytes = n => n >= 1e9 ? (n / 1e9).toFixed(2) + ' GB' : n >= 1e6 ? (n / 1e6).toFixed(2) + ' MB' : n >= 1e3 ? (n / 1e3).toFixed(1) + ' kB' : n + ' B';
const fixed = (n, digits) => n === null || n === undefined ? '' : n.toFixed(digits);
const percent = n => n === null || n === undefined ? '' : n === 0 ? '0 %' : n < 1e-4 ? (n * 100).toExponential(1) + ' %' : (n * 100).toPrecision(3) + ' %';
const micro = s => s === null || s === undefined ? '' : (s * 1e6).toFixed(1);

function section(id, title, ...children) {
  const part = el('section', { 'aria-labelledby': id }, el('h2', { id }, title), ...children.flat());
  main.append(part);
  document.querySelector('nav').append(el('a', { href: '#' + id }, title));
  return part;
}

function tiles(list) {
  return el('dl', { class: 'tiles' }, ...list.filter(t => t).map(([name, value, more]) => el('div', {}, el('dt', {}, name), el('dd', {}, value, more ? el('small', {}, more) : null))));
}

/** A table that sorts by its headings. A column: {title, value: row => sort key, cell: row => text or node, num, wrap}. */
function table(label, columns, rows, sorted) {
  const body = el('tbody');
  let column = sorted === undefined ? -1 : sorted, down = true, shown = rows;
  const heads = columns.map((c, i) => {
    const button = el('button', { type: 'button', onclick: () => { down = column === i ? !down : !!c.num; column = i; fill(); } }, c.title);
    return el('th', { scope: 'col', class: c.num ? 'num' : null }, button);
  });
  function fill() {
    const key = column < 0 ? null : columns[column].value;
    const order = key === null ? shown : [...shown].sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === y) return 0;
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return (x < y ? -1 : 1) * (down ? -1 : 1);
    });
    heads.forEach((h, i) => i === column ? h.setAttribute('aria-sort', down ? 'descending' : 'ascending') : h.removeAttribute('aria-sort'));
    body.replaceChildren(...order.map(row => el('tr', {}, ...columns.map(c => {
      const content = c.cell ? c.cell(row) : c.value(row);
      return el('td', { class: [c.num ? 'num' : '', c.wrap ? 'wrap' : ''].join(' ').trim() || null }, ...[content ?? ''].flat().filter(x => x !== null).map(x => x instanceof Node ? x : String(x)));
    }))));
  }
  fill();
  const box = el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label }, el('table', {}, el('caption', { hidden: '' }, label), el('thead', {}, el('tr', {}, ...heads)), body));
  return { box, filter: text => { const t = text.toLowerCase(); shown = t ? rows.filter(r => columns.some(c => String(c.value(r) ?? '').toLowerCase().includes(t))) : rows; fill(); return shown.length; } };
}

const bar = (share) => el('span', { class: 'bar', style: 'width:' + Math.max(1, Math.round(share * 100)) + '%', 'aria-hidden': 'true' });

/** A background from light (0) to dark (1) of one hue, with black or white text: whichever has the contrast of 4.5 that WCAG asks for. */
function shade(t, hue) {
  const lightness = .9 - .58 * Math.min(1, Math.max(0, t)), chroma = .62 * Math.min(lightness, 1 - lightness);
  const channel = n => { const k = (n + hue / 30) % 12; return lightness - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1)); };
  const linear = c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const rgb = [channel(0), channel(8), channel(4)], luminance = .2126 * linear(rgb[0]) + .7152 * linear(rgb[1]) + .0722 * linear(rgb[2]);
  return `background:rgb(${rgb.map(c => Math.round(c * 255)).join(' ')});color:${luminance > .179 ? '#000' : '#fff'}`;
}

document.querySelector('#theme').onclick = () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
};
