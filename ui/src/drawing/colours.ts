// Colours of what is drawn on a canvas: taken from the style sheet, so that dark and light are said in one place.

export function colour(of: Element, name: string): string {
  return getComputedStyle(of).getPropertyValue(`--${name}`).trim();
}

/** Even steps of lightness from few to many, read from the style sheet as --scale-0 to --scale-8. */
export function scaleOf(of: Element): string[] {
  return Array.from({ length: 9 }, (_, step) => colour(of, `scale-${step}`));
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");

export function onThemeChange(changed: () => void): () => void {
  dark.addEventListener("change", changed);
  return () => dark.removeEventListener("change", changed);
}
