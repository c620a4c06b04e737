using ModelPack.Kernels.MatMul;

namespace ModelPack.Kernels.Convolution;

/// <summary>
/// A convolution as products: y [O, P] of an image x [C, H, W], P places of the output, is W [O, C * taps] times a matrix with a column per place. Some places at a time are gathered as rows, multiplied, and put where they belong,
/// so that neither matrix ever exists. Threads may share blocks of places and parts of the weight, in any split with the same result, bit for bit.
/// </summary>
/// <remarks>After Chellapilla, Puri and Simard, High Performance Convolutional Neural Networks for Document Processing (2006), a panel at a time.</remarks>
public sealed unsafe class ConvolutionRun : IDisposable
{
    /// <summary>Rows times columns beyond which fewer places are taken at a time: they are to stay in the second cache.</summary>
    private const int MostPrepared = 256 << 10;

    /// <summary>Whole batches of what the integer kernels multiply together.</summary>
    private const int MostRows = MatMulRun.MaxRows / IntegerRowsCode.MaxRows * IntegerRowsCode.MaxRows;

    /// <summary>Parts of the weight whose outputs are kept until they are transposed.</summary>
    private const int KeptParts = 4;

    private readonly IMatMulRun _product;
    private readonly ConvolutionWindow _window;
    private readonly Activation _activation;
    private readonly KernelTier _tier;

    /// <param name="product">The product with the weight [outputs, channels * taps], of a channel line by line; disposed with this.</param>
    /// <param name="window">What belongs to an output.</param>
    /// <param name="activation">What is applied to outputs in the end.</param>
    /// <param name="tier">On which instruction set.</param>
    /// <exception cref="ArgumentException">The weight has not so many taps for every channel, or there is no such window.</exception>
    public ConvolutionRun(IMatMulRun product, ConvolutionWindow window, Activation activation, KernelTier tier)
    {
        ArgumentNullException.ThrowIfNull(product);
        if (!window.Vertical.IsPossible || !window.Horizontal.IsPossible || product.Inputs % window.Taps != 0)
        {
            throw new ArgumentException($"a weight with {product.Inputs} columns has not {window.Taps} for every channel", nameof(window));
        }

        _product = product;
        _window = window;
        _activation = activation;
        _tier = tier;
    }

    /// <summary>Channels of the input.</summary>
    public int Channels => (int)(_product.Inputs / _window.Taps);

    /// <summary>Channels of the output.</summary>
    public int Outputs => _product.Outputs;

    /// <summary>What belongs to an output.</summary>
    public ConvolutionWindow Window => _window;

    /// <summary>Parts of the weight.</summary>
    public int Parts => _product.Parts;

    /// <summary>See <see cref="IMatMulRun.PartsTogether"/>.</summary>
    public int PartsTogether => _product.PartsTogether(MatMulRun.MaxRows);

    /// <summary>
    /// Whether the places of a block are taken in the order of the padded input, those between lines included, which no output has: then every column of the matrix is a stretch of the input, and none is gathered.
    /// </summary>
    private bool IsStretched => _window is { Vertical.Stride: 1, Horizontal.Stride: 1 };

    /// <summary>Blocks of neighbouring places that are worked on one by one: by size alone, so that no result depends on how many threads there are.</summary>
    /// <param name="height">Lines of the image.</param>
    /// <param name="width">Values of a line.</param>
    public long Blocks(int height, int width)
    {
        long rows = Math.Clamp(MostPrepared / _product.Inputs, IntegerRowsCode.MaxRows, MostRows);
        return (Places(height, width) + rows - 1) / rows;
    }

    /// <summary>Computes some outputs of a block of places.</summary>
    /// <param name="tiles">The execution layout of the weight.</param>
    /// <param name="image">[channels, height, width].</param>
    /// <param name="height">Lines.</param>
    /// <param name="width">Values of a line.</param>
    /// <param name="block">Which of the <see cref="Blocks"/>.</param>
    /// <param name="firstPart">First part of the weight.</param>
    /// <param name="parts">Their number.</param>
    /// <param name="bias">[outputs] to be added; null for none.</param>
    /// <param name="y">[outputs, output lines, outputs of a line] destination.</param>
    public void Run(byte* tiles, float* image, int height, int width, long block, int firstPart, int parts, float* bias, float* y)
    {
        long places = Places(height, width);
        long blocks = Blocks(height, width);
        long first = places * block / blocks;
        int rows = (int)((places * (block + 1) / blocks) - first);
        int partOutputs = KeptParts * _product.PartOutputs;
        long lineOutputs = _window.Horizontal.Outputs(width);
        long linePlaces = IsStretched ? PaddedWidth(width) : lineOutputs;

        // Room for offsets, columns where they are copied, the same transposed where they are wanted so, and outputs.
        long lines = Math.Min(((rows + linePlaces - 2) / linePlaces) + 1, _window.Vertical.Outputs(height)) + (((long)_window.Vertical.Taps - 1) * _window.Vertical.Dilation);
        long copied = !IsStretched ? (long)rows * _product.Inputs : IsPadded ? (Channels * lines * linePlaces) + linePlaces : 0;
        long* offsets = (long*)ThreadScratch.Get(ScratchUse.Window, (sizeof(long) * (long)_product.Inputs) + (sizeof(float) * (copied + ((long)rows * (_product.Inputs + partOutputs)))));
        float* columns = (float*)(offsets + _product.Inputs);
        float* transposed = columns + copied;
        float* outputs = transposed + ((long)rows * _product.Inputs);
        float* start = columns;
        if (!IsStretched)
        {
            Gather(image, height, width, first, rows, lineOutputs, columns, offsets);
        }
        else if (IsPadded)
        {
            Pad(image, height, width, first / linePlaces, (int)lines, (int)linePlaces, columns);
            Offsets(lines * linePlaces, linePlaces, offsets);
            start = columns + (first % linePlaces);
        }
        else
        {
            Offsets((long)height * width, width, offsets);
            start = image + first;
        }

        void* prepared = ThreadScratch.Get(ScratchUse.Activations, _product.ScratchBytes(rows));
        if (!_product.PrepareColumns(start, offsets, rows, prepared))
        {
            // Columns of one tap lie at equal distances.
            int together = !IsStretched || _window.Taps == 1 ? _product.Inputs : 1;
            for (int c = 0; c < _product.Inputs; c += together)
            {
                Transposing.Run(start + offsets[c], together > 1 ? offsets[1] - offsets[0] : rows, together, rows, transposed + c, _product.Inputs);
            }

            _product.Prepare(transposed, rows, prepared);
        }

        long imageOutputs = _window.Vertical.Outputs(height) * lineOutputs;
        for (int part = firstPart; part < firstPart + parts; part += KeptParts)
        {
            int count = Math.Min(KeptParts, firstPart + parts - part);
            int output = part * _product.PartOutputs;
            _product.Run(tiles, prepared, rows, part, count, new MatMulOutput(outputs, partOutputs, output, bias));
            if (_activation != Activation.None)
            {
                ActivationKernels.Run(_tier, _activation, outputs, null, rows * partOutputs);
            }

            Store(outputs, partOutputs, rows, Math.Min(count * _product.PartOutputs, _product.Outputs - output), first, linePlaces, lineOutputs, y + (output * imageOutputs), imageOutputs);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _product.Dispose();

    private bool IsPadded => _window.Vertical is not { PadBefore: 0, PadAfter: 0 } || _window.Horizontal is not { PadBefore: 0, PadAfter: 0 };

    private long PaddedWidth(int width) => (long)width + _window.Horizontal.PadBefore + _window.Horizontal.PadAfter;

    /// <summary>Places that blocks are made of.</summary>
    private long Places(int height, int width)
    {
        long lines = _window.Vertical.Outputs(height);
        long lineOutputs = _window.Horizontal.Outputs(width);
        return lines == 0 || lineOutputs == 0 ? 0 : IsStretched ? ((lines - 1) * PaddedWidth(width)) + lineOutputs : lines * lineOutputs;
    }

    /// <summary>Where every tap of every channel finds its first value.</summary>
    private void Offsets(long channelValues, long lineValues, long* offsets)
    {
        for (int c = 0; c < Channels; c++)
        {
            for (int v = 0; v < _window.Vertical.Taps; v++)
            {
                for (int h = 0; h < _window.Horizontal.Taps; h++)
                {
                    *offsets++ = (c * channelValues) + (v * (long)_window.Vertical.Dilation * lineValues) + (h * (long)_window.Horizontal.Dilation);
                }
            }
        }
    }

    /// <summary>Some lines of the padded input, of every channel.</summary>
    private void Pad(float* image, int height, int width, long firstLine, int lines, int paddedWidth, float* to)
    {
        int before = _window.Horizontal.PadBefore;
        for (int c = 0; c < Channels; c++)
        {
            float* channel = image + ((long)c * height * width);
            for (long line = firstLine - _window.Vertical.PadBefore; line < firstLine - _window.Vertical.PadBefore + lines; line++)
            {
                var padded = new Span<float>(to, paddedWidth);
                if (line < 0 || line >= height)
                {
                    padded.Clear();
                }
                else
                {
                    padded[..before].Clear();
                    new ReadOnlySpan<float>(channel + (line * width), width).CopyTo(padded[before..]);
                    padded[(before + width)..].Clear();
                }

                to += paddedWidth;
            }
        }

        new Span<float>(to, paddedWidth).Clear();
    }

    /// <summary>Outputs [places, outputs] to [outputs, ...], without those that lie between lines.</summary>
    private static void Store(float* outputs, int stride, int rows, int count, long first, long linePlaces, long lineOutputs, float* y, long outputValues)
    {
        for (int row = 0; row < rows;)
        {
            long line = (first + row) / linePlaces;
            long at = first + row - (line * linePlaces);
            int some = (int)Math.Min(rows - row, linePlaces - at);
            int seen = (int)Math.Clamp(lineOutputs - at, 0, some);
            Transposing.Run(outputs + ((long)row * stride), stride, seen, count, y + (line * lineOutputs) + at, outputValues);
            row += some;
        }
    }

    /// <summary>Columns [channels * taps, places].</summary>
    private void Gather(float* image, int height, int width, long first, int rows, long lineOutputs, float* to, long* offsets)
    {
        int taps = (int)_window.Taps;
        for (int column = 0; column < _product.Inputs; column++)
        {
            int tap = column % taps;
            offsets[column] = (long)column * rows;
            Line(image + ((long)(column / taps) * height * width), height, width, tap / _window.Horizontal.Taps, tap % _window.Horizontal.Taps, first, rows, lineOutputs, to + offsets[column]);
        }
    }

    /// <summary>What one tap of a channel sees from some places.</summary>
    private void Line(float* channel, int height, int width, int tapLine, int tap, long first, int rows, long lineOutputs, float* to)
    {
        ConvolutionAxis across = _window.Horizontal;
        long shift = ((long)tap * across.Dilation) - across.PadBefore;
        // Outputs of a line between these two see the image.
        long begin = shift >= 0 ? 0 : (-shift + across.Stride - 1) / across.Stride;
        long end = shift >= width ? 0 : Math.Min(lineOutputs, ((width - 1 - shift) / across.Stride) + 1);
        long last = first + rows;
        for (long place = first; place < last;)
        {
            long line = place / lineOutputs;
            long from = place - (line * lineOutputs);
            long until = Math.Min(lineOutputs, from + last - place);
            long input = (line * _window.Vertical.Stride) - _window.Vertical.PadBefore + ((long)tapLine * _window.Vertical.Dilation);
            long seenFrom = Math.Clamp(begin, from, until);
            long seenUntil = input < 0 || input >= height ? seenFrom : Math.Clamp(end, seenFrom, until);
            new Span<float>(to, (int)(seenFrom - from)).Clear();
            float* source = channel + (input * width) + shift;
            if (across.Stride == 1)
            {
                new ReadOnlySpan<float>(source + seenFrom, (int)(seenUntil - seenFrom)).CopyTo(new Span<float>(to + (seenFrom - from), (int)(seenUntil - seenFrom)));
            }
            else
            {
                for (long i = seenFrom; i < seenUntil; i++)
                {
                    to[i - from] = source[i * across.Stride];
                }
            }

            new Span<float>(to + (seenUntil - from), (int)(until - seenUntil)).Clear();
            to += until - from;
            place += until - from;
        }
    }
}
