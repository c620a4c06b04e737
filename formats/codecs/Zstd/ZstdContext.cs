using System.Runtime.ConstrainedExecution;
using ZstdSharp.Unsafe;

namespace ModelPack.Codecs;

/// <summary>
/// Zstandard contexts of one thread, made on first use and kept for its life: coding a chunk allocates nothing. Errors are return values, never exceptions.
/// </summary>
internal sealed unsafe class ZstdContext : CriticalFinalizerObject
{
    /// <summary>
    /// A level that hardly looks for matches and entropy-codes what is left: for exponents, where matches are accidents. The fast strategy's search takes steps of
    /// <see cref="EntropyOnlyStep"/>, and Huffman coding of literals, which such a step would switch off, is switched on.
    /// </summary>
    public const int EntropyOnly = 0;

    private const int EntropyOnlyStep = 4096;

    /// <summary>log2 of a long window. Decoders everywhere take up to 2^27 without being asked.</summary>
    private const int LongWindowLog = 22;

    [ThreadStatic]
    private static ZstdContext? s_current;

    private ZSTD_CCtx_s* _encoder;
    private ZSTD_DCtx_s* _decoder;
    private int _level = int.MinValue;
    private bool _longWindow;

    ~ZstdContext()
    {
        Methods.ZSTD_freeCCtx(_encoder);
        Methods.ZSTD_freeDCtx(_decoder);
    }

    /// <summary>The calling thread's contexts.</summary>
    public static ZstdContext Current => s_current ??= new ZstdContext();

    /// <summary>Writes one frame (content size, no checksum); false when it does not fit.</summary>
    /// <param name="raw">Data.</param>
    /// <param name="level">Compression level, or <see cref="EntropyOnly"/>.</param>
    /// <param name="destination">Where to.</param>
    /// <param name="written">Bytes written.</param>
    /// <param name="longWindow">Look for matches as far back as the data goes, not only as far as is usual at the level.</param>
    public bool TryEncode(ReadOnlySpan<byte> raw, int level, Span<byte> destination, out int written, bool longWindow = false)
    {
        written = 0;
        if (_encoder == null)
        {
            _encoder = Methods.ZSTD_createCCtx();
            if (_encoder == null)
            {
                throw new InsufficientMemoryException("no memory for a Zstandard encoder");
            }
        }

        if (_level != level || _longWindow != longWindow)
        {
            SetLevel(level, longWindow);
        }

        fixed (byte* source = raw)
        fixed (byte* target = destination)
        {
            nuint n = Methods.ZSTD_compress2(_encoder, target, (nuint)destination.Length, source, (nuint)raw.Length);
            if (Methods.ZSTD_isError(n))
            {
                // Ends the frame that did not fit: inside a frame parameters cannot be set, and the next one would be coded as this one.
                Check(Methods.ZSTD_CCtx_reset(_encoder, ZSTD_ResetDirective.ZSTD_reset_session_only));
                return false;
            }

            written = (int)n;
            return true;
        }
    }

    private void SetLevel(int level, bool longWindow)
    {
        // From a high level to entropy coding alone nothing would fit otherwise: what was derived from the level before stays behind.
        bool entropyOnly = level == EntropyOnly;
        Check(Methods.ZSTD_CCtx_reset(_encoder, ZSTD_ResetDirective.ZSTD_reset_session_and_parameters));
        Check(Methods.ZSTD_CCtx_setParameter(_encoder, ZSTD_cParameter.ZSTD_c_compressionLevel, entropyOnly ? 1 : level));
        Check(Methods.ZSTD_CCtx_setParameter(_encoder, ZSTD_cParameter.ZSTD_c_targetLength, entropyOnly ? EntropyOnlyStep : 0));
        Check(Methods.ZSTD_CCtx_setParameter(_encoder, ZSTD_cParameter.ZSTD_c_experimentalParam5, entropyOnly ? (int)ZSTD_paramSwitch_e.ZSTD_ps_enable : (int)ZSTD_paramSwitch_e.ZSTD_ps_auto));
        if (longWindow)
        {
            Check(Methods.ZSTD_CCtx_setParameter(_encoder, ZSTD_cParameter.ZSTD_c_enableLongDistanceMatching, (int)ZSTD_paramSwitch_e.ZSTD_ps_enable));
            Check(Methods.ZSTD_CCtx_setParameter(_encoder, ZSTD_cParameter.ZSTD_c_windowLog, LongWindowLog));
        }

        (_level, _longWindow) = (level, longWindow);
    }

    /// <exception cref="InvalidOperationException">The call failed, which it does not for the arguments given here.</exception>
    private static void Check(nuint result)
    {
        if (Methods.ZSTD_isError(result))
        {
            throw new InvalidOperationException($"Zstandard: {Methods.ZSTD_getErrorName(result)}");
        }
    }

    /// <summary>Reads one or more frames that together give exactly <paramref name="raw"/>.</summary>
    public bool TryDecode(ReadOnlySpan<byte> encoded, Span<byte> raw)
    {
        if (_decoder == null)
        {
            _decoder = Methods.ZSTD_createDCtx();
            if (_decoder == null)
            {
                throw new InsufficientMemoryException("no memory for a Zstandard decoder");
            }
        }

        fixed (byte* source = encoded)
        fixed (byte* target = raw)
        {
            nuint n = Methods.ZSTD_decompressDCtx(_decoder, target, (nuint)raw.Length, source, (nuint)encoded.Length);
            return !Methods.ZSTD_isError(n) && n == (nuint)raw.Length;
        }
    }
}
