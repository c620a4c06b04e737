namespace ModelPack.Kernels.MatMul;

/// <summary>
/// How exact sums of products of unsigned bytes (codes) and signed bytes (activations, -127 to 127) are made: by what the instruction set has, and by how large the codes get (<see cref="MatMulKernel"/> chooses).
/// </summary>
internal unsafe interface IDot
{
    /// <summary>True when it is <see cref="ISimd{TSelf}.Dot"/>.</summary>
    static abstract bool IsInstruction { get; }

    /// <summary>
    /// Bytes of a prepared activation: 1, or 2 for words of 16 bits, of every four columns the first and third, then the second and fourth.
    /// </summary>
    static abstract int ActivationBytes { get; }

    /// <summary>Adds the products of four groups of codes.</summary>
    /// <param name="codes0">Bytes of the first group; so on for the others.</param>
    /// <param name="codes1">Second.</param>
    /// <param name="codes2">Third.</param>
    /// <param name="codes3">Fourth.</param>
    /// <param name="x">Prepared activations of their 16 columns.</param>
    /// <param name="a">Sums; the result is <see cref="Join"/> of the four.</param>
    /// <param name="b">More sums, so that not every addition waits for the one before.</param>
    /// <param name="c">More.</param>
    /// <param name="d">More.</param>
    static abstract void Add<TSimd>(TSimd codes0, TSimd codes1, TSimd codes2, TSimd codes3, byte* x, ref TSimd a, ref TSimd b, ref TSimd c, ref TSimd d)
        where TSimd : struct, ISimd<TSimd>;

    /// <summary>a + b + c + d, without those that <see cref="Add"/> never adds to.</summary>
    static abstract TSimd Join<TSimd>(TSimd a, TSimd b, TSimd c, TSimd d)
        where TSimd : struct, ISimd<TSimd>;
}
