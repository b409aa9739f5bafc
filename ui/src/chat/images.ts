export const maxImages = 6;
const accepted = /^image\/(png|jpeg|webp|gif)$/;
const side = 2048;
const small = 1_500_000;

function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(new Error("The picture could not be read."));
    reader.readAsDataURL(blob);
  });
}

/** Reads a picture for sending; large ones are made smaller first. */
export async function readImage(file: File): Promise<string> {
  if (!accepted.test(file.type)) throw new Error("Pictures can be PNG, JPEG, WebP or GIF.");
  if (file.size <= small) return dataUrl(file);
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error("The picture could not be read.");
  });
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.toDataURL("image/jpeg", 0.86);
}

export const imagesIn = (list: FileList | DataTransferItemList | undefined | null): File[] => {
  const files: File[] = [];
  for (const item of Array.from((list ?? []) as ArrayLike<File | DataTransferItem>)) {
    const file = item instanceof File ? item : item.kind === "file" ? item.getAsFile() : null;
    if (file?.type.startsWith("image/")) files.push(file);
  }
  return files;
};
