using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Where the codes of a blob lie, 16 at a time: a choice that the JIT sees as made.</summary>
internal interface ICodeLayout
{
    /// <summary>Bytes of the blob of a block of whole groups.</summary>
    static abstract int BlobBytes(int block, int bits);

    /// <summary>Codes <paramref name="first"/> to first + 15 of a blob, one per byte; may read 8 bytes beyond them.</summary>
    /// <param name="blob">Start of the blob.</param>
    /// <param name="first">A multiple of 16.</param>
    /// <param name="planeBytes">Bytes of a bit plane.</param>
    static abstract Vector128<byte> Load16<TBits>(ref byte blob, nint first, nint planeBytes)
        where TBits : struct, IBits;

    /// <summary>The inverse of <see cref="Load16"/>, of the low bits of every byte; writes nothing else.</summary>
    static abstract void Store16<TBits>(Vector128<byte> codes, ref byte blob, nint first, nint planeBytes)
        where TBits : struct, IBits;
}
