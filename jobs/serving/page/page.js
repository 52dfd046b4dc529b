"use strict";
const root = document.documentElement.dataset.root;
const at = (id) => document.getElementById(id);
const state = { card: null, image: null };

function made(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function headers(kind) {
  const given = kind ? { "Content-Type": kind } : {};
  const key = at("key").value;
  return key ? { ...given, Authorization: `Bearer ${key}` } : given;
}

async function read(response) {
  const text = await response.text();
  let answer = {};
  try { answer = JSON.parse(text); } catch { answer = { error: text.slice(0, 300) }; }
  if (response.status === 401) at("key-part").hidden = false;
  if (!response.ok) throw new Error(`${response.status}: ${answer.error || response.statusText}`);
  return answer;
}

function modality() {
  const kind = state.card.preprocess ? state.card.preprocess.kind : "text";
  return { text: kind !== "image", image: kind.startsWith("image") };
}

async function loadCard() {
  try {
    state.card = await read(await fetch(`${root}/v1/model`, { headers: headers() }));
  } catch (error) {
    at("summary").textContent = error.message;
    return;
  }
  const { text, image } = modality();
  at("text-part").hidden = !text;
  at("image-part").hidden = !image;
  at("name").textContent = state.card.model;
  document.title = `Try ${state.card.model}`;
  at("summary").textContent = summary(state.card);
  showCard(state.card);
  showCurl();
}

function bytes(size) {
  if (size >= 2 ** 20) return `${(size / 2 ** 20).toFixed(1)} MiB`;
  return size >= 1024 ? `${(size / 1024).toFixed(1)} KiB` : `${size} bytes`;
}

function summary(card) {
  const parts = [`version ${card.version}`];
  if (card.classes) parts.push(`${card.classes.length} classes`);
  if (card.size_bytes) parts.push(bytes(card.size_bytes));
  return parts.join(" · ");
}

function plain(value) {
  if (Array.isArray(value)) {
    const said = value.map(plain).filter(Boolean);
    return said.length > 20 ? `${said.slice(0, 20).join(", ")} and ${said.length - 20} more` : said.join(", ");
  }
  if (value === null || value === undefined) return "";
  if (typeof value === "object") {
    const rest = Object.entries(value).filter(([name]) => name !== "kind").map(([name, one]) => `${name} ${plain(one)}`);
    return [value.kind, ...rest].filter(Boolean).join(" ");
  }
  return typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(3) : String(value);
}

function showCard(card) {
  const shown = Object.entries(card).filter(([name]) => !["model", "process"].includes(name));
  const rows = shown.flatMap(([name, value]) => {
    const said = name === "size_bytes" ? bytes(value) : plain(value);
    return said ? [made("dt", name.replaceAll("_", " ")), made("dd", said)] : [];
  });
  at("card").replaceChildren(...rows);
}

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function showCurl() {
  if (!state.card) return;
  const lines = [`curl ${quoted(`${location.origin}${root}/v1/classify`)}`];
  if (at("key").value) lines.push('-H "Authorization: Bearer $KEY"');
  const { text, image } = modality();
  const name = quoted(state.image ? state.image.name : "image.png");
  const words = JSON.stringify(at("text").value || "a text");
  if (image && !text) {
    lines.push(`-H 'Content-Type: ${state.image ? state.image.type : "image/png"}'`, `--data-binary @${name}`);
  } else if (image) {
    lines.unshift(`{ printf '{"image": "'; base64 < ${name} | tr -d '\\n'; printf %s ${quoted(`", "text": ${words}}`)}; } |`);
    lines.push("-H 'Content-Type: application/json'", "--data-binary @-");
  } else {
    lines.push("-H 'Content-Type: application/json'", `-d ${quoted(`{"text": ${words}}`)}`);
  }
  at("curl").textContent = lines.join(" \\\n  ");
}

async function base64(file) {
  const held = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let start = 0; start < held.length; start += 8192) text += String.fromCharCode(...held.subarray(start, start + 8192));
  return btoa(text);
}

async function question() {
  const { text, image } = modality();
  if (image && !state.image) throw new Error("choose an image first");
  if (text && !at("text").value.trim()) throw new Error("write a text first");
  if (image && !text) return { kind: state.image.type || "application/octet-stream", body: state.image };
  const asked = { text: at("text").value };
  if (image) asked.image = await base64(state.image);
  return { kind: "application/json", body: JSON.stringify(asked) };
}

async function ask(event) {
  event.preventDefault();
  at("submit").disabled = true;
  try {
    if (!state.card) await loadCard();
    if (!state.card) return;
    const { kind, body } = await question();
    const begun = performance.now();
    const answer = await read(await fetch(`${root}/v1/classify`, { method: "POST", headers: headers(kind), body }));
    const took = performance.now() - begun;
    showAnswer(answer.predictions[0]);
    at("latency").textContent = `${took.toFixed(1)} ms from this browser and back · version ${answer.version}`;
  } catch (error) {
    at("result").replaceChildren(made("p", error.message, "wrong"));
    at("latency").textContent = "";
  } finally {
    at("submit").disabled = false;
  }
}

function showAnswer(prediction) {
  const list = made("ol", undefined, "bars");
  for (const { label, probability } of prediction.top) {
    const item = made("li");
    const bar = made("progress");
    bar.max = 1;
    bar.value = probability;
    bar.setAttribute("aria-label", label);
    item.append(made("span", label, "label"), made("span", `${(100 * probability).toFixed(1)} %`, "share"), bar);
    list.append(item);
  }
  const rejected = prediction.rejected ? [made("p", "Not sure enough to give a label.", "quiet")] : [];
  at("result").replaceChildren(...rejected, list);
}

async function choose(file) {
  if (!file) return;
  state.image = file;
  const canvas = at("preview");
  canvas.hidden = true;
  showCurl();
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.max(1, Math.min(16, Math.floor(160 / Math.max(bitmap.width, bitmap.height))));
    [canvas.width, canvas.height] = [bitmap.width * scale, bitmap.height * scale];
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = scale === 1;
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    canvas.hidden = false;
    canvas.setAttribute("aria-label", `${file.name}, ${bitmap.width} by ${bitmap.height} pixels`);
  } catch {
    at("result").replaceChildren(made("p", `${file.name} is no image this browser can show; the model may still say why.`, "wrong"));
  }
}

function takeFiles(event, files) {
  if (!files || !files.length) return;
  event.preventDefault();
  choose(files[0]);
}

at("form").addEventListener("submit", ask);
at("text").addEventListener("input", showCurl);
at("key").addEventListener("input", showCurl);
at("key").addEventListener("change", () => { if (!state.card) loadCard(); });
at("file").addEventListener("change", () => choose(at("file").files[0]));
document.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit(); });
document.addEventListener("paste", (event) => takeFiles(event, event.clipboardData && event.clipboardData.files));
for (const kind of ["dragenter", "dragover"]) {
  at("drop").addEventListener(kind, (event) => { event.preventDefault(); at("drop").classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) at("drop").addEventListener(kind, () => at("drop").classList.remove("over"));
at("drop").addEventListener("drop", (event) => takeFiles(event, event.dataTransfer.files));
at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(at("curl").textContent);
    at("copied").textContent = "Copied.";
  } catch {
    at("copied").textContent = "This browser does not let the page copy.";
  }
});
loadCard();
