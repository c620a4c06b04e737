using System.Buffers;

namespace ModelPack.Structures;

/// <summary>
/// Reads permuted values through a reader of the component. The composed tensor is produced in panels of many rows; a panel takes one pass over
/// the part of the component it needs (exactly its columns when the component is an <see cref="IRandomValueReader"/>), in strips of
/// component rows, and is kept for the tiles that follow. Reading all tiles in order so costs one pass per panel, not one per tile.
/// </summary>
/// <remarks>Holds at most two panels, each 8 MiB (up to 32 MiB over components that only give whole rows), or one row where that is longer.</remarks>
internal sealed class PermutedReader : IValueReader
{
    private const int PanelBytes = 8 << 20;
    private const int MaxWholeRowPanelBytes = 32 << 20;
    private const int StripElements = 64 << 10;
    private const int KeptPanels = 2;

    private readonly IValueReader _component;
    private readonly IRandomValueReader? _random;
    private readonly AxisOrder _order;
    private readonly long _componentRowsPerRow;
    private readonly int _panelRows;
    private readonly List<Panel> _panels = [];
    private readonly Lock _lock = new();

    private PermutedReader(IValueReader component, int[] perm, Shape shape, int panelBytes)
    {
        Shape = shape;
        _component = component;
        _order = AxisOrder.Reduce(component.Shape, perm);
        _componentRowsPerRow = _order.Columns / component.Shape.Columns;
        _random = _componentRowsPerRow == 1 ? component as IRandomValueReader : null;
        long rows = Math.Max(panelBytes / sizeof(float) / shape.Columns, 1);
        _panelRows = (int)Math.Min(rows > 16 ? rows & ~15 : rows, shape.Rows);
    }

    public Shape Shape { get; }

    /// <summary>A reader of the permuted values; the component's own where the order of elements and the rows do not change.</summary>
    public static IValueReader Open(IValueReader component, int[] perm, Shape shape)
    {
        if (shape.ElementCount == 0)
        {
            return new EmptyReader(shape);
        }

        long wholeRows = Math.Clamp(shape.ElementCount * sizeof(float) / 4, PanelBytes, MaxWholeRowPanelBytes);
        return Open(component, perm, shape, component is IRandomValueReader ? PanelBytes : (int)wholeRows);
    }

    /// <summary>As above with a given panel size, for tests.</summary>
    internal static IValueReader Open(IValueReader component, int[] perm, Shape shape, int panelBytes) =>
        component.Shape == shape && AxisOrder.Reduce(shape, perm).Dims.Length == 1
            ? component
            : new PermutedReader(component, perm, shape, panelBytes);

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        if (firstRow < 0 || rows < 0 || rows > Shape.Rows - firstRow)
        {
            throw new ArgumentOutOfRangeException(nameof(firstRow), $"rows {firstRow}+{rows} are outside {Shape}");
        }

        int columns = checked((int)Shape.Columns);
        destination = destination[..checked(rows * columns)];
        while (rows > 0)
        {
            long index = firstRow / _panelRows;
            int skip = (int)(firstRow % _panelRows);
            int count = (int)Math.Min(rows, Math.Min(_panelRows, Shape.Rows - (index * _panelRows)) - skip);
            Span<float> part = destination[..(count * columns)];
            if (skip == 0 && count == _panelRows)
            {
                Fill(firstRow * columns, part);
            }
            else
            {
                PanelFor(index).AsSpan(skip * columns, part.Length).CopyTo(part);
            }

            destination = destination[part.Length..];
            firstRow += count;
            rows -= count;
        }
    }

    private float[] PanelFor(long index)
    {
        Panel panel;
        lock (_lock)
        {
            int at = _panels.FindIndex(p => p.Index == index);
            panel = at < 0 ? new Panel(index) : _panels[at];
            if (at >= 0)
            {
                _panels.RemoveAt(at);
            }
            else if (_panels.Count == KeptPanels)
            {
                _panels.RemoveAt(0);
            }

            _panels.Add(panel);
        }

        // Threads that want the same panel wait here; other panels are filled at the same time.
        lock (panel.Gate)
        {
            if (panel.Values is null)
            {
                long rows = Math.Min(_panelRows, Shape.Rows - (index * _panelRows));
                float[] values = GC.AllocateUninitializedArray<float>(checked((int)(rows * Shape.Columns)));
                Fill(index * _panelRows * Shape.Columns, values);
                panel.Values = values;
            }

            return panel.Values;
        }
    }

    /// <summary>Produces elements [<paramref name="first"/>, first + length) of the composed tensor, in its row-major order.</summary>
    private void Fill(long first, Span<float> panel)
    {
        long rowCount = 1;
        for (int axis = 0; axis < _order.Dims.Length - 1; axis++)
        {
            rowCount *= _order.Dims[axis];
        }

        long inner = _order.Dims.Length > 1 ? _order.Dims[^2] : 1;
        for (long row = 0; row < rowCount;)
        {
            long start = _order.RowStart(row);
            (long low, long high) = ColumnsInside(start, first, panel.Length);

            // Rows along the same axis that need the same columns form a strip.
            long limit = Math.Min(inner - (row % inner), Math.Max(StripElements / Math.Max(ReadWidth(low, high), 1), 1));
            int strip = 1;
            while (strip < limit && ColumnsInside(start + (strip * InnerStride), first, panel.Length) == (low, high))
            {
                strip++;
            }

            if (low < high)
            {
                FillStrip(row, strip, low, high, start - first, panel);
            }

            row += strip;
        }
    }

    private long InnerStride => _order.Dims.Length > 1 ? _order.Strides[^2] : 0;

    /// <summary>Which columns of a component row fall into elements [first, first + length) of the composed tensor.</summary>
    private (long Low, long High) ColumnsInside(long rowStart, long first, int length)
    {
        long stride = _order.Strides[^1];
        long low = Math.Clamp(CeilingDivide(first - rowStart, stride), 0, _order.Columns);
        long high = Math.Clamp(CeilingDivide(first + length - rowStart, stride), low, _order.Columns);
        return high == low ? (0, 0) : (low, high);
    }

    private static long CeilingDivide(long dividend, long divisor) => dividend <= 0 ? -(-dividend / divisor) : ((dividend - 1) / divisor) + 1;

    /// <summary>How many columns are read to get columns [low, high): all of them unless the component gives rectangles.</summary>
    private long ReadWidth(long low, long high)
    {
        (long from, long to) = ReadRange(low, high);
        return to - from;
    }

    private (long From, long To) ReadRange(long low, long high)
    {
        if (_random is not null)
        {
            return (low, high);
        }

        // Whole component rows: one row of the reduced order is one or several of them.
        long unit = _component.Shape.Columns;
        return (low / unit * unit, (high + unit - 1) / unit * unit);
    }

    private void FillStrip(long row, int strip, long low, long high, long offset, Span<float> panel)
    {
        (long from, long to) = ReadRange(low, high);
        int width = checked((int)(to - from));
        float[] buffer = ArrayPool<float>.Shared.Rent(checked(strip * width));
        try
        {
            Span<float> values = buffer.AsSpan(0, strip * width);
            if (_random is not null)
            {
                _random.ReadBlock(row, strip, from, width, values);
            }
            else if (width == _order.Columns)
            {
                _component.ReadRows(row * _componentRowsPerRow, checked((int)(strip * _componentRowsPerRow)), values);
            }
            else
            {
                long unit = _component.Shape.Columns;
                for (int r = 0; r < strip; r++)
                {
                    _component.ReadRows(((row + r) * _componentRowsPerRow) + (from / unit), (int)(width / unit), values.Slice(r * width, width));
                }
            }

            // Element (r, c) of the strip goes to offset + r * inner stride + (low + c) * column stride of the panel.
            long to0 = offset + (low * _order.Strides[^1]);
            TransposeKernel.Scatter(values[(int)(low - from)..], strip, (int)(high - low), width, panel[(int)to0..], InnerStride, _order.Strides[^1]);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(buffer);
        }
    }

    private sealed class Panel(long index)
    {
        public long Index { get; } = index;

        public Lock Gate { get; } = new();

        public float[]? Values { get; set; }
    }

    private sealed class EmptyReader(Shape shape) : IValueReader
    {
        public Shape Shape => shape;

        public void ReadRows(long firstRow, int rows, Span<float> destination)
        {
        }
    }
}
