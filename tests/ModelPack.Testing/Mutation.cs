namespace ModelPack.Testing;

/// <summary>A damaged copy of some bytes, and how it was damaged.</summary>
/// <param name="Seed">Gives the same damage again through <see cref="Mutations.Apply"/>.</param>
/// <param name="Bytes">The damaged copy.</param>
/// <param name="Description">What was done, for failure texts.</param>
public sealed record Mutation(ulong Seed, byte[] Bytes, string Description);
