"""A real browser: its path, its options, and measurements in its pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, expect, sync_playwright

from tests.support.tiers import CHROMIUM

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=60_000)  # milliseconds; a hundred times what an expectation takes on an idle machine
WIDE, NARROW = (1280, 900), (360, 740)
Scheme = Literal["light", "dark"]

# The contrast of each text to its background (WCAG 2.2, relative luminance), in ascending order.
CONTRASTS = """() => {
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  const rgb = text => text.match(/[\\d.]+/g).map(Number)
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
  const background = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor)
      if (color.length < 4 || color[3] === 1) return color
    }
  }
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
  const measured = (element, ink) => [
    contrast(luminance(rgb(ink)), luminance(background(element))),
    element.tagName + ' ' + element.textContent.slice(0, 40)]
  const texts = [...document.body.querySelectorAll('*')].filter(
    e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && !e.closest('title, desc'))
  const found = texts.map(e => measured(e, getComputedStyle(e)[e.closest('svg') ? 'fill' : 'color']))
  const marks = [...document.querySelectorAll('.mark')].map(e => {
    const {stroke, fill} = getComputedStyle(e)
    return measured(e, stroke === 'none' ? fill : stroke)
  })
  return {texts: found.sort((a, b) => a[0] - b[0]), marks: marks.sort((a, b) => a[0] - b[0])}
}"""
OVERFLOWING = """() => [...document.querySelectorAll('body *')].filter(
  e => e.getClientRects().length && !e.closest('defs') && e.getBoundingClientRect().right > innerWidth + 0.5
).map(e => e.outerHTML.slice(0, 80))"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, and close it at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
