using ModelPack.Codecs;

namespace ModelPack.Pack;

/// <summary>Which codecs the packer may choose from.</summary>
/// <param name="Level">How hard they try.</param>
/// <param name="Portable">Only codecs that decode fast on every machine.</param>
internal readonly record struct CodecPolicy(CodecLevel Level, bool Portable);
