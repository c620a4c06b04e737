namespace ModelPack.Toolchain;

/// <summary>What opening a model and running it once costs a new process.</summary>
/// <param name="LoadSeconds">Opening it.</param>
/// <param name="FirstRunSeconds">The first run.</param>
/// <param name="RssBytes">Resident memory added by both.</param>
public sealed record ModelStart(double LoadSeconds, double FirstRunSeconds, long RssBytes);
